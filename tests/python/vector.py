"""vector COUNT: numpy's sum of two arrays of floats, into an array that is there. Prints the median
of 51 additions in seconds."""
import statistics
import sys
import time

import numpy


def median(add):
    times = []
    for _ in range(51):
        begin = time.perf_counter()
        add()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main():
    count = int(sys.argv[1])
    a = numpy.arange(count, dtype=numpy.float32) % 1000
    b = numpy.arange(count, dtype=numpy.float32) % 999
    c = numpy.zeros(count, dtype=numpy.float32)
    print(median(lambda: numpy.add(a, b, out=c)))
    if not numpy.array_equal(c, a + b):
        sys.exit("vector: wrong")


if __name__ == "__main__":
    main()
