"""The tests of jupyter_kernel_test on pdquant's kernel, and what they don't try. Run by TestJupyter."""
import os
import signal
import socket
import subprocess
import sys
import time
import unittest

import jupyter_kernel_test
from jupyter_client.manager import start_new_kernel

ROUND = "teacher resnet8; calib 8 seed=1; set scales.images=8 rounding.steps=100000 correction.steps=1; run conv1"


class Protocol(jupyter_kernel_test.KernelTests):
    kernel_name = "pdquant"
    language_name = "pdquant"
    file_extension = ".pdq"
    code_hello_world = "!echo hello, world"
    code_stderr = "!echo oops >&2"
    completion_samples = [
        {"text": "teach", "matches": ["teacher"]},
        {"text": "set Correction.St", "matches": ["Correction.Steps="]},
        {"text": "bits rule=q", "matches": ["qdrop"]},
    ]
    complete_code_samples = ["units", "teacher resnet8; calib 8", "# it's a comment", ""]
    incomplete_code_samples = ["name 'a", "set \\"]
    code_page_something = "Rounding.Steps?"
    code_generate_error = "nonsense"
    code_execute_result = [{"code": "show"}, {"code": "teacher resnet8; units"}]
    code_display_data = [{"code": "models", "mime": "text/html"}]
    code_history_pattern = "sh?w"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "teacher"
    code_clear_output = "clear"
    support_iopub_welcome = True


class Sessions(unittest.TestCase):
    def setUp(self):
        began = time.time()
        self.km, self.kc = start_new_kernel(kernel_name="pdquant", startup_timeout=20)
        self.started = time.time() - began
        self.addCleanup(self.end)

    def end(self):
        self.kc.stop_channels()
        self.km.shutdown_kernel(now=True)

    def run_cell(self, code, timeout=60):
        seen = []
        reply = self.kc.execute_interactive(code, timeout=timeout, output_hook=seen.append)
        return reply["content"], seen

    def idle(self, of, timeout=30):
        """Waits until the kernel has ended a request, and returns the messages on the way."""
        seen = []
        while True:
            m = self.kc.get_iopub_msg(timeout=timeout)
            seen.append(m)
            if m["parent_header"].get("msg_id") == of and m["content"].get("execution_state") == "idle":
                return seen

    def until_step(self, name, timeout=30):
        """Waits until progress shows a step of that name."""
        while True:
            m = self.kc.get_iopub_msg(timeout=timeout)
            if m["msg_type"].endswith("display_data") and name in m["content"]["data"]["text/plain"]:
                return

    def test_speed(self):
        times = []
        for _ in range(20):
            began = time.time()
            self.assertEqual(self.run_cell("names")[0]["status"], "ok")
            times.append(time.time() - began)
        print(f"\nstart {self.started:.2f} s, a cell {1000 * min(times):.0f} to {1000 * max(times):.0f} ms")
        self.assertLess(sorted(times)[10], 0.05)

    def test_state_stays(self):
        self.assertEqual(self.run_cell("teacher resnet8\ncalib 8\nscales weights")[0]["status"], "ok")
        reply, seen = self.run_cell("units")
        results = [m["content"]["data"] for m in seen if m["msg_type"] == "execute_result"]
        self.assertIn("layer1.0", results[0]["text/plain"])
        self.assertEqual(results[0]["application/vnd.pdquant+json"]["kind"], "table")
        reply, seen = self.run_cell("undo; units\nnonsense")
        self.assertEqual(reply["status"], "error")
        self.assertIn("cell:2:", reply["evalue"])

    def interrupt(self, how):
        cell = self.kc.execute(ROUND)
        self.until_step("rounding")
        began = time.time()
        again = self.kc.complete("run lay")  # while the cell runs
        while True:
            m = self.kc.get_shell_msg(timeout=5)
            if m["parent_header"]["msg_id"] == again:
                break
        completed = time.time() - began
        self.assertIn("layer1.0", m["content"]["matches"])
        began = time.time()
        how()
        self.idle(cell)
        print(f"\ncompleted in {1000 * completed:.0f} ms, interrupted in {time.time() - began:.2f} s")
        self.assertLess(completed, 0.5)
        self.assertLess(time.time() - began, 5)
        reply, seen = self.run_cell("units")
        self.assertIn("at step", str([m["content"] for m in seen]))

    def test_interrupt_by_message(self):
        self.interrupt(self.km.interrupt_kernel)

    def test_interrupt_by_signal(self):
        self.interrupt(lambda: os.kill(self.km.provisioner.pid, signal.SIGINT))

    def test_killed(self):
        self.run_cell("teacher resnet8; calib 8 seed=1; scales weights")
        os.kill(self.km.provisioner.pid, signal.SIGKILL)
        self.km.restart_kernel(now=True)
        self.kc.wait_for_ready(timeout=20)
        saved = max((e for e in os.listdir("runs") if e.startswith("kernel-")), key=lambda e: os.stat("runs/" + e).st_mtime)
        reply, seen = self.run_cell("resume runs/" + saved)
        self.assertEqual(reply["status"], "ok")

    def test_queue_is_aborted(self):
        ids = [self.kc.execute(code) for code in ("!sleep 1", "nonsense", "names", "names")]
        got = {}
        while len(got) < len(ids):
            m = self.kc.get_shell_msg(timeout=20)
            got[m["parent_header"]["msg_id"]] = m["content"]["status"]
        self.assertEqual([got[i] for i in ids], ["ok", "error", "aborted", "aborted"])
        self.assertEqual(self.run_cell("names")[0]["status"], "ok")

    def test_much_output(self):
        reply, seen = self.run_cell("!seq 100000; seq 100000; seq 100000", timeout=120)
        self.assertEqual(reply["status"], "ok")
        text = "".join(m["content"]["text"] for m in seen if m["msg_type"] == "stream")
        self.assertIn("the rest isn't shown", text)
        self.assertLess(len(seen), 300)
        self.assertEqual(self.run_cell("names")[0]["status"], "ok")

    def test_memory(self):
        def resident():
            with open(f"/proc/{self.km.provisioner.pid}/status") as f:
                return int(next(line for line in f if line.startswith("VmRSS")).split()[1])
        for _ in range(100):
            self.run_cell("names")
        before = resident()
        for _ in range(1000):
            self.run_cell("names")
        print(f"\nresident {before} then {resident()} KiB")
        self.assertLess(resident(), before + 20_000)

    def test_silent_connection(self):
        hanging = [socket.create_connection((self.km.ip, self.km.shell_port)) for _ in range(3)]
        hanging.append(socket.create_connection((self.km.ip, self.km.iopub_port)))
        other = self.km.client()
        other.start_channels()
        began = time.time()
        other.wait_for_ready(timeout=10)
        self.assertLess(time.time() - began, 5)
        other.stop_channels()
        for s in hanging:
            s.close()

    def test_stopped_client(self):
        """A client that is stopped doesn't hold up one that reads."""
        code = """
import sys, time, zmq
s = zmq.Context().socket(zmq.SUB); s.subscribe(b""); s.connect(sys.argv[1])
s.recv_multipart(); print("on", flush=True)
while True: s.recv_multipart(); time.sleep(1)
"""
        stopped = subprocess.Popen([sys.executable, "-c", code, f"tcp://{self.km.ip}:{self.km.iopub_port}"],
                                   stdout=subprocess.PIPE)
        self.addCleanup(lambda: (stopped.kill(), stopped.communicate()))
        self.assertEqual(stopped.stdout.readline(), b"on\n")
        stopped.send_signal(signal.SIGSTOP)
        for _ in range(100):
            self.assertEqual(self.run_cell("!seq 20000", timeout=10)[0]["status"], "ok")

    def test_shutdown_is_answered(self):
        self.km.shutdown_kernel  # by hand, to see the replies
        message = self.kc.session.msg("shutdown_request", {"restart": False})
        self.kc.control_channel.send(message)
        reply = self.kc.control_channel.get_msg(timeout=5)
        self.assertEqual(reply["msg_type"], "shutdown_reply")
        self.assertEqual(self.idle(message["header"]["msg_id"])[-1]["content"]["execution_state"], "idle")
        began = time.time()
        while self.km.is_alive() and time.time() - began < 10:
            time.sleep(0.05)
        self.assertFalse(self.km.is_alive())

    def test_wrong_signature(self):
        key = self.kc.session.key
        self.kc.session.key = b"another"
        self.kc.kernel_info()
        self.kc.session.key = key
        self.assertEqual(self.run_cell("names")[0]["status"], "ok")

    def test_expressions_and_silence(self):
        reply = self.kc.execute_interactive("names", user_expressions={"a": "show Seed", "b": "nonsense"}, timeout=10,
                                            output_hook=lambda m: None)
        self.assertIn("Seed", reply["content"]["user_expressions"]["a"]["data"]["text/plain"])
        self.assertEqual(reply["content"]["user_expressions"]["b"]["status"], "error")
        count = reply["content"]["execution_count"]
        seen = []
        reply = self.kc.execute_interactive("units", silent=True, timeout=10, output_hook=seen.append)
        self.assertEqual(reply["content"]["execution_count"], count)
        self.assertEqual([m["msg_type"] for m in seen if m["msg_type"] != "status"], [])


if __name__ == "__main__":
    unittest.main(verbosity=1)
