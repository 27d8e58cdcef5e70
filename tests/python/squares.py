"""squares WORKERS COUNT: a map of squares on a pool of processes. Prints the seconds of the work"""
import multiprocessing
import sys
import time


def square(number):
    return number * number


def main():
    workers, count = int(sys.argv[1]), int(sys.argv[2])
    begin = time.perf_counter()
    with multiprocessing.Pool(processes=workers) as pool:
        squares = pool.map(square, range(count))
    print(time.perf_counter() - begin)
    if sum(squares) != (count - 1) * count * (2 * count - 1) // 6:
        sys.exit("squares: wrong")


if __name__ == "__main__":
    main()
