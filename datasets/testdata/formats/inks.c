// inks writes a JPEG whose first and last of four components have twice the samples of the others, as Photoshop's:
// cc inks.c -ljpeg -o inks; ./inks FILE ycck|cmyk
#include <stdio.h>
#include <jpeglib.h>

enum { W = 37, H = 29 };

int main(int n, char **args) {
	struct jpeg_error_mgr errors;
	struct jpeg_compress_struct c;
	unsigned char row[4 * W], *rows = row;
	FILE *f = fopen(args[1], "wb");
	c.err = jpeg_std_error(&errors);
	jpeg_create_compress(&c);
	jpeg_stdio_dest(&c, f);
	c.image_width = W, c.image_height = H, c.input_components = 4, c.in_color_space = JCS_CMYK;
	jpeg_set_defaults(&c);
	jpeg_set_colorspace(&c, args[2][0] == 'y' ? JCS_YCCK : JCS_CMYK);
	jpeg_set_quality(&c, 90, TRUE);
	for (int i = 0; i < 4; i++)
		c.comp_info[i].h_samp_factor = c.comp_info[i].v_samp_factor = i % 3 ? 1 : 2;
	jpeg_start_compress(&c, TRUE);
	for (int y = 0; y < H; y++) {
		for (int x = 0; x < W; x++) {
			row[4 * x] = 3 * x + y, row[4 * x + 1] = 255 - 4 * y;
			row[4 * x + 2] = x * y / 9, row[4 * x + 3] = 200 + (x ^ y) % 50;
		}
		jpeg_write_scanlines(&c, &rows, 1);
	}
	jpeg_finish_compress(&c);
	return fclose(f);
}
