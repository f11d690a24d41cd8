/* The floor of the archive stage: decode a JPEG at the scale that leaves enough for a resizer, and encode as many
   pixels as the result has. No resizing, no archive.  floor SIDE THREADS FILES... prints its cost as JSON. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <jpeglib.h>

static int side, threads, count;
static char **paths;

static double now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double peak_mib(void) {
    char line[256];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file)) sscanf(line, "VmHWM: %ld", &kib);
    if (file) fclose(file);
    return kib / 1024.0;
}

static void encode(const unsigned char *pixels, int stride, int width, int height) {
    struct jpeg_compress_struct out;
    struct jpeg_error_mgr errors;
    unsigned char *content = NULL;
    unsigned long size = 0;
    out.err = jpeg_std_error(&errors);
    jpeg_create_compress(&out);
    jpeg_mem_dest(&out, &content, &size);
    out.image_width = width;
    out.image_height = height;
    out.input_components = 3;
    out.in_color_space = JCS_RGB;
    jpeg_set_defaults(&out);
    jpeg_set_quality(&out, 95, TRUE);
    jpeg_start_compress(&out, TRUE);
    while (out.next_scanline < out.image_height) {
        JSAMPROW row = (JSAMPROW)pixels + (size_t)out.next_scanline * stride;
        jpeg_write_scanlines(&out, &row, 1);
    }
    jpeg_finish_compress(&out);
    jpeg_destroy_compress(&out);
    free(content);
}

static void convert(const char *path) {
    struct jpeg_decompress_struct in;
    struct jpeg_error_mgr errors;
    FILE *file = fopen(path, "rb");
    if (!file) exit(1);
    in.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&in);
    jpeg_stdio_src(&in, file);
    jpeg_read_header(&in, TRUE);
    int longest = in.image_width > in.image_height ? in.image_width : in.image_height;
    in.scale_num = 1;
    in.scale_denom = 1;
    while (in.scale_denom < 8 && longest / (2.0 * in.scale_denom * side) >= 1.9) in.scale_denom *= 2;
    in.out_color_space = JCS_RGB;
    jpeg_start_decompress(&in);
    int stride = in.output_width * 3;
    unsigned char *pixels = malloc((size_t)stride * in.output_height);
    while (in.output_scanline < in.output_height) {
        JSAMPROW row = pixels + (size_t)in.output_scanline * stride;
        jpeg_read_scanlines(&in, &row, 1);
    }
    int width = (int)in.image_width * side / longest, height = (int)in.image_height * side / longest;
    jpeg_finish_decompress(&in);
    jpeg_destroy_decompress(&in);
    fclose(file);
    encode(pixels, stride, width, height);
    free(pixels);
}

static void *work(void *first) {
    for (int place = (int)(size_t)first; place < count; place += threads) convert(paths[place]);
    return NULL;
}

int main(int argc, char **argv) {
    side = atoi(argv[1]);
    threads = atoi(argv[2]);
    paths = argv + 3;
    count = argc - 3;
    for (int place = 0; place < count && place < 5; place++) convert(paths[place]); /* warm up */
    double cpu = now(CLOCK_PROCESS_CPUTIME_ID), wall = now(CLOCK_MONOTONIC);
    pthread_t *running = malloc(threads * sizeof *running);
    for (int i = 0; i < threads; i++) pthread_create(&running[i], NULL, work, (void *)(size_t)i);
    for (int i = 0; i < threads; i++) pthread_join(running[i], NULL);
    printf("{\"cpu_s\": %f, \"wall_s\": %f, \"peak_mib\": %f}\n", now(CLOCK_PROCESS_CPUTIME_ID) - cpu,
           now(CLOCK_MONOTONIC) - wall, peak_mib());
    return 0;
}
