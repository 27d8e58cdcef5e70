/* picture - a plane as a PNG file. */
#ifndef HYBRID_LIB_PICTURE_H
#define HYBRID_LIB_PICTURE_H

#include "hybrid/lib/plane.h"

/*
 * Collective. Draws the field as it is, row 0 above, from the smallest value (dark) to the largest
 * (light), each pixel the nearest point; at most PICTURE_MOST x PICTURE_MOST pixels. Returns 0; or
 * -1 on all ranks alike with errno: EINVAL for a field without points, or that of
 * image_write_png().
 */
int picture_write(const struct plane *plane, const char *path);

enum { PICTURE_MOST = 1000 };

#endif
