// JupyterLab in a headless browser, as a person uses it: run cells, Tab, Shift-Tab, interrupt a long run, restart, two
// notebooks at once, close the browser and come back. Run by TestJupyterLab:
//
//	node lab.mjs URL CHROMIUM FOLDER     # screenshots go to FOLDER
import { createRequire } from "node:module";
const { chromium } = createRequire(process.cwd() + "/")("playwright-core");
const [url, executablePath, folder] = process.argv.slice(2);
const token = new URL(url).search;
const address = (path) => new URL(path, url).href + token;

let browser, page;
async function open() {
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  page = await (await browser.newContext({ viewport: { width: 1200, height: 900 } })).newPage();
  page.setDefaultTimeout(60000);
}
const shoot = (name) => page.screenshot({ path: `${folder}/${name}.png` });
const say = (text) => console.log(`${new Date().toISOString().slice(11, 19)} ${text}`);

async function notebook(name, start = true) {
  await page.goto(address(`lab/workspaces/${name}/tree/${name}.ipynb`));
  await page.waitForSelector(".jp-Notebook");
  await page.waitForFunction(() => {
    const s = document.querySelector(".jp-NotebookPanel .jp-Notebook-ExecutionIndicator");
    return s && s.getAttribute("data-status") === "idle";
  });
  await page.waitForTimeout(4000);
  if (start) await page.locator(".jp-Notebook .cm-content").last().click();
}

// run types a cell and runs it; it resolves when the kernel is idle, unless it shall not wait.
async function run(code, wait = true) {
  const cells = page.locator(".jp-Notebook .jp-CodeCell");
  await page.locator(".jp-Notebook .cm-content").last().click();
  await page.keyboard.insertText(code);
  const n = await cells.count();
  await page.keyboard.press("Shift+Enter");
  if (!wait) return cells.nth(n - 1);
  await page.waitForFunction((n) => {
    const p = document.querySelectorAll(".jp-Notebook .jp-CodeCell")[n - 1].querySelector(".jp-InputPrompt");
    return /\[\d+\]/.test(p.textContent);
  }, n);
  return cells.nth(n - 1);
}

async function has(cell, text) {
  const seen = await cell.locator(".jp-OutputArea").innerText().catch(() => "");
  if (!seen.includes(text)) throw new Error(`a cell doesn't show ${JSON.stringify(text)} but ${JSON.stringify(seen)}`);
}

try {
  await open();
  await notebook("one");
  await run("teacher resnet8; calib 16 seed=1; bits w=2 a=2; scales weights");
  await has(await run("units"), "layer1.0");
  say("a table");
  await has(await run("models"), "mobilenetv2");
  const plot = await run("plot inspect layer1.0.conv1");
  await plot.locator("svg, img").first().waitFor();
  say("a chart");
  await shoot("table-and-chart");

  await page.locator(".jp-Notebook .cm-content").last().click();
  await page.keyboard.insertText("set Rounding.St");
  await page.keyboard.press("Tab");
  await page.locator(".jp-Completer-item", { hasText: "Rounding.Steps=" }).waitFor();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => [...document.querySelectorAll(".jp-Notebook .cm-content")].at(-1).textContent
    === "set Rounding.Steps=");
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Backspace");
  await page.keyboard.insertText("run ");
  await page.keyboard.press("Tab");
  await page.waitForSelector(".jp-Completer-item");
  await shoot("completion");
  say("Tab");
  await page.keyboard.press("Escape");
  await page.locator(".jp-Notebook .cm-content").last().click();
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Backspace");
  await page.keyboard.insertText("sweep");
  await page.keyboard.press("Shift+Tab");
  await page.waitForSelector(".jp-Tooltip");
  await shoot("explanation");
  say("Shift-Tab");
  await page.keyboard.press("Escape");
  await page.locator(".jp-Notebook .cm-content").last().click();
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Backspace");

  const long = await run("set scales.images=8 rounding.steps=100000; run conv1", false);
  await long.locator("progress").first().waitFor();
  await page.waitForTimeout(2000);
  await shoot("progress");
  const began = Date.now();
  await page.locator('jp-button[data-command="notebook:interrupt-kernel"], [data-command="notebook:interrupt-kernel"]')
    .first().click();
  await page.waitForFunction(() => document.querySelector(".jp-NotebookPanel .jp-Notebook-ExecutionIndicator")
    .getAttribute("data-status") === "idle");
  say(`interrupted in ${Date.now() - began} ms`);
  await has(long, "interrupted");
  await has(await run("units"), "at step");
  await shoot("interrupted");

  const other = page;
  page = await page.context().newPage();
  page.setDefaultTimeout(60000);
  await notebook("two");
  await has(await run("teacher resnet20; units"), "layer3.2");
  page = other;
  await has(await run("units"), "at step");
  say("two notebooks");

  await page.keyboard.press("Escape");
  await page.locator('[data-command="kernelmenu:restart"], [data-command="notebook:restart-kernel"]').first().click();
  await page.locator(".jp-Dialog .jp-mod-accept").click();
  await page.waitForTimeout(3000);
  const after = await run("units", false);
  await page.waitForFunction(() => /no teacher yet/.test(document.querySelector(".jp-Notebook").innerText));
  await has(after, "no teacher yet");
  say("restarted");

  await run("teacher resnet8; calib 8 seed=2; scales weights");
  await page.keyboard.press("Control+s");
  await page.waitForTimeout(1500);
  await browser.close();
  await open();
  await notebook("one");
  await has(await run("units"), "weight scales");
  say("came back to the kernel");
  await shoot("came-back");
} catch (e) {
  await shoot("failed").catch(() => {});
  console.error(e);
  process.exitCode = 1;
} finally {
  await browser?.close();
}
