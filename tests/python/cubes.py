"""cubes WORKERS COUNT: a map of cubes on a pool of threads. Prints the seconds of the work."""
import sys
import time
from concurrent.futures import ThreadPoolExecutor


def cube(number):
    return number * number * number


def main():
    workers, count = int(sys.argv[1]), int(sys.argv[2])
    begin = time.perf_counter()
    with ThreadPoolExecutor(max_workers=workers) as pool:
        cubes = list(pool.map(cube, range(count)))
    print(time.perf_counter() - begin)
    if sum(cubes) != (count * (count - 1) // 2) ** 2:
        sys.exit("cubes: wrong")


if __name__ == "__main__":
    main()
