/*
 * draw - a node as a picture: its cores by package, NUMA node and L3 cache, with who runs on them.
 * Pure but for the stream that is written to. Thread-safe.
 *
 * A core's hardware threads stand between bars, each with what is bound to it: "1.0" is thread 0 of
 * rank 1, "=" the same as left of it, "." nobody, "-" not granted, "x" not allowed.
 */
#ifndef HYBRID_LIB_DRAW_H
#define HYBRID_LIB_DRAW_H

#include <stdio.h>

#include "hybrid/lib/judge.h"

/* As text. Threads that may run on more than one core stand below. Errors show in ferror(). */
void draw_text(const struct layout *layout, const char *node, FILE *file);

/* As a part of an SVG drawing, whose top is at 0. Returns its height in pixels. */
int draw_svg(const struct layout *layout, const char *node, FILE *file);

/* A drawing of such parts, below one another. */
void draw_svg_document(char *const *parts, const int *heights, int count, FILE *file);

#endif
