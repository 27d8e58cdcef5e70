"""lists threads|processes WORKERS COUNT: every worker fills a list with random numbers.

Prints the seconds of the work. The lists of processes end with them, as in most programs of this
kind: to bring them back would cost more.
"""
import multiprocessing
import random
import sys
import threading
import time


def fill(count, numbers):
    for _ in range(count):
        numbers.append(random.random())


def main():
    kind, workers, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    start = threading.Thread if kind == "threads" else multiprocessing.Process
    lists = [[] for _ in range(workers)]
    begin = time.perf_counter()
    jobs = [start(target=fill, args=(count, numbers)) for numbers in lists]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    print(time.perf_counter() - begin)
    if kind == "threads" and any(len(numbers) != count for numbers in lists):
        sys.exit("lists: wrong")
    if kind != "threads" and any(job.exitcode != 0 for job in jobs):
        sys.exit("lists: a process failed")


if __name__ == "__main__":
    main()
