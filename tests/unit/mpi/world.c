/*
 * world - who is where, one voice for all ranks, and how a job ends
 *
 * Without options what must hold on every rank; with --end how a job ends by a mistake.
 *
 * Test:    -n 1
 * Test:    -n 2
 * Test:    -n 3
 * Test:    -n 5
 * Test:    -n 1 --end worst
 * Test:    -n 3 --end worst
 * Test:    -n 5 --end worst
 * Test(1): -n 1 --end wrong_rank
 * Test(1): -n 3 --end wrong_rank
 * Test(1): -n 2 --end wrong_rank_on_node
 * Test(1): -n 2 --end no_memory
 * Test(1): -n 2 --end too_many_bytes
 * Test(3): -n 4 --end abort
 * Test(2): -n 1 --end mismatch
 * Test(2): -n 3 --end mismatch
 * Test(2): -n 3 --end usage
 * Test(2): -n 2 --nonsense
 * Test(2): -n 2 --output /
 * Test:    -n 2 --help
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mpi/lib/world.h"
#include "tests/unit/mpi/run.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

enum { MOST = 64 };

static struct world w;
static const char *end;
static size_t nodes = 1;

static const struct arg options[] = {
    { "end", ARG_CHOICE, &end, "how the job ends",
      .choices = "worst|wrong_rank|wrong_rank_on_node|no_memory|too_many_bytes|abort|mismatch|"
                 "usage" },
    { "nodes", ARG_SIZE, &nodes, "nodes that it was started on" },
    ARGS_END,
};

static void ranks(void **state)
{
    int rank, size, same;
    (void)state;

    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    assert_int_equal(w.rank, rank);
    assert_int_equal(w.size, size);
    MPI_Comm_compare(w.comm, MPI_COMM_WORLD, &same);
    assert_int_equal(same, MPI_CONGRUENT); /* the same ranks, but not the same communicator */
    assert_int_equal(w.program.speaks, rank == 0);
    assert_true(w.init_secs > 0);
    assert_true(strncmp(w.mpi, "Open MPI ", 9) == 0 || strncmp(w.mpi, "MPICH ", 6) == 0);
    assert_null(strpbrk(w.mpi, ",\n"));
}

/* Right for any arrangement of ranks on nodes: from the nodes of all ranks follows the rest. */
static void nodes_in_order(void **state)
{
    int node_of[MOST], count_of[MOST] = { 0 }, seen = 0, most = 0;
    (void)state;

    assert_true(w.size <= MOST);
    MPI_Allgather(&w.node, 1, MPI_INT, node_of, 1, MPI_INT, w.comm);
    for (int rank = 0; rank < w.size; rank++) {
        assert_in_range(node_of[rank], 0, seen); /* a new node has the next number */
        if (rank == w.rank)
            assert_int_equal(w.node_rank, count_of[w.node]);
        seen += node_of[rank] == seen;
        most = ++count_of[node_of[rank]] > most ? count_of[node_of[rank]] : most;
    }
    assert_int_equal(w.nodes, seen);
    assert_int_equal(w.node_size, count_of[w.node]);
    assert_int_equal(w.most_ranks_on_a_node, most);
    assert_int_equal(w.nodes, nodes < (size_t)w.size ? nodes : (size_t)w.size);
}

/* What all ranks print by world_print(), on rank 0; the caller frees it. */
static char *captured(const char *mine, size_t most)
{
    char *text = world_alloc(&w, most + 1, 1);
    FILE *file = tmpfile();

    fflush(stdout);
    const int saved = dup(STDOUT_FILENO);
    dup2(fileno(file), STDOUT_FILENO);
    world_print(&w, mine);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    rewind(file);
    text[fread(text, 1, most, file)] = '\0';
    fclose(file);
    return text;
}

static void prints_in_rank_order(void **state)
{
    char mine[64], expected[MOST * 64] = "";
    (void)state;

    for (int silent = -1; silent < w.size; silent++) { /* each rank in turn says nothing */
        *expected = *mine = '\0';
        const struct timespec pause = { 0, (w.size - w.rank) * 1000000L };
        nanosleep(&pause, NULL); /* the last rank is the first to speak */
        if (w.rank != silent)
            snprintf(mine, sizeof mine, "rank %d of %d\n100 %%\n", w.rank, w.size);
        for (int rank = 0; rank < w.size && w.rank == 0; rank++)
            if (rank != silent)
                sprintf(expected + strlen(expected), "rank %d of %d\n100 %%\n", rank, w.size);
        char *got = captured(mine, sizeof expected);
        assert_string_equal(got, expected);
        free(got);
    }
}

static void prints_much(void **state)
{
    const size_t length = 1 << 20, all = length * (size_t)w.size;
    char *mine = world_alloc(&w, length + 1, 1);
    (void)state;

    memset(mine, 'a' + w.rank, length);
    mine[length] = '\0';
    char *got = captured(mine, all);
    assert_int_equal(strlen(got), w.rank == 0 ? all : 0);
    for (size_t i = 0; i < all && w.rank == 0; i++)
        assert_true(got[i] == 'a' + (char)(i / length));
    free(got);
    free(mine);
}

static void allocates(void **state)
{
    static const struct {
        size_t count, size;
    } rows[] = { { 0, 0 }, { 0, 8 }, { 8, 0 }, { SIZE_MAX, 0 }, { 0, SIZE_MAX }, { 1000, 8 } };
    (void)state;

    for (size_t i = 0; i < LENGTH(rows); i++) {
        unsigned char *memory = world_alloc(&w, rows[i].count, rows[i].size);
        assert_non_null(memory);
        memset(memory, 1, rows[i].count * rows[i].size);
        free(memory);
    }
}

/* The last rank makes the mistake, the others wait for it in vain. */
static enum status end_by_mistake(void)
{
    const bool last = w.rank == w.size - 1;

    if (arg_is(end, "usage"))
        return world_usage(&w, "rank %d said so", w.rank);
    if (last && arg_is(end, "wrong_rank"))
        MPI_Send(NULL, 0, MPI_BYTE, w.size, 0, w.comm);
    if (last && arg_is(end, "wrong_rank_on_node"))
        MPI_Send(NULL, 0, MPI_BYTE, w.size, 0, w.node_comm);
    if (last && arg_is(end, "no_memory"))
        free(world_alloc(&w, (size_t)1 << 52, 8));
    if (last && arg_is(end, "too_many_bytes"))
        free(world_alloc(&w, SIZE_MAX / 4, 8));
    if (last && arg_is(end, "abort"))
        world_abort(&w, STALLED, "it was %d", 42);
    MPI_Recv(NULL, 0, MPI_BYTE, MPI_ANY_SOURCE, 0, w.comm, MPI_STATUS_IGNORE);
    return PASS;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks),       cmocka_unit_test(nodes_in_order),
        cmocka_unit_test(prints_in_rank_order),
        cmocka_unit_test(prints_much), cmocka_unit_test(allocates),
    };

    for (int i = 1; i < argc; i++) /* as if another MPI's launcher had started this */
        if (strcmp(argv[i], "mismatch") == 0)
            setenv("LOCKSTEP_RANKS", "77", 1);
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);
    if (status == PASS && arg_is(end, "worst")) {
        const int size = w.size; /* rank r ends with r: every one must get the last one's */
        return world_close(&w, (enum status)w.rank) != size - 1;
    }
    if (status == PASS)
        status = end ? end_by_mistake() : run(&w, tests, LENGTH(tests));
    return world_close(&w, status);
}
