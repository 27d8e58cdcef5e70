/*
 * affinity - where every rank and every thread may run, where it does, and whether that is good
 *
 * Every thread of every rank reads its own mask from the system: the CPUs that the launcher granted
 * to the rank, those that the thread is bound to, and the CPU that it ran on last. Numbers of CPUs
 * are the system's (OS), those of cores, packages and NUMA nodes are hwloc's (logical): neighbours
 * in one numbering are often far apart in the other.
 *
 * Then the verdict. It is wrong, and the status 1, if the same ranks and threads could be placed
 * better on the same node: threads take turns on a core while another is idle, ranks share a core,
 * a rank is spread over NUMA nodes for nothing, or another job is bound to the same cores. The
 * lines that cure it are printed, to paste. More threads than the node has cores are your decision:
 * that is told, and no more (so with --allow-share is any sharing).
 *
 * What can go wrong: mpirun binds each of one or two ranks to one core, so the threads of a rank
 * take turns on it, and nothing says so. srun gives a task one CPU if it is not told how many. Two
 * mpiruns at once both begin with core 0; --allow-others looks over that.
 *
 * --place binds the threads first, as the programs of this layer do. --plan places nothing, and
 * shows what would be done, also on a machine that is only described: as hwloc's XML (lstopo
 * machine.xml) or in its synthetic form ("pack:2 numa:2 core:8 pu:2").
 *
 * Run:     make run P=affinity N=2 T=2 ARGS=--show
 * Try:     mpirun --bind-to core -n 1 ... with OMP_NUM_THREADS=2: who waits for whom?
 * Try:     OMP_PROC_BIND=true: granted and bound differ
 * Try:     --plan --topology "pack:2 numa:2 core:8 pu:2" --ranks 3 --threads 8 --show
 * Test:    -n 1
 * Test:    -n 2 -t 2
 * Test:    -n 3 -t 1 --format json
 * Test:    -n 2 -t 1 --place balanced --show
 * Test:    -n 1 -t 2 --variant pthreads --place compact
 * Test:    -n 2 -t 3 --place spread --allow-share
 * Test:    -n 1 --plan --topology "pack:2 numa:2 core:8 pu:2" --ranks 3 --threads 8 --show
 * Test(1): -n 1 --plan --topology "core:4 pu:1" --granted 0 --ranks 1 --threads 2
 * Test:    -n 1 --plan --topology "core:4 pu:1" --granted 0 --ranks 1 --threads 2 --allow-share
 * Test:    -n 1 --plan --topology "core:2 pu:1" --ranks 3 --threads 2
 * Test:    -n 1 --plan --topology "core:4 pu:1" --kind performance --ranks 2 --threads 2
 * Test(2): -n 1 --plan --topology "core:two"
 * Test(2): -n 1 --plan --topology "core:2 pu:1" --granted 7
 * Test(2): -n 1 --threads 0
 * Test(2): -n 2 -t 1 --draw /nonexistent/place.svg
 * Test(2): -n 1 --plan --ranks 2147483647
 * Test(2): -n 1 --plan --threads 2147483647
 * Test(2): -n 1 --plan --ranks 4096 --threads 5
 * Test(2): -n 1 --plan --topology "pack:64 numa:4 core:64 pu:4"
 * Test(2): -n 1 --plan --topology "core:2 pu:1" --granted 0-4294967295
 * Test:    -n 1 --plan --topology "pack:16 numa:4 core:64 pu:4" --ranks 4096 --threads 4
 * Test(1): -n 1 --plan --topology "pack:4 core:64 pu:1" --granted 0 --ranks 1024 --threads 4
 */
#include <ctype.h>
#include <errno.h>
#include <hwloc.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hybrid/lib/cure.h"
#include "hybrid/lib/draw.h"
#include "hybrid/lib/granted.h"
#include "hybrid/lib/survey.h"
#include "local/lib/file.h"
#include "local/lib/size.h"
#include "local/lib/team.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    int threads, ranks;
    bool plan, show, allow_share, allow_others;
    const char *place, *variant, *topology, *granted, *kind, *draw;
} opt = { .ranks = 1, .place = "none", .variant = "openmp", .kind = "all" };

static const struct arg options[] = {
    PLACE_THREADS_ARG(&opt.threads),
    { "place", ARG_CHOICE, &opt.place, "bind the threads first", .choices = PLACE_CHOICES },
    { "variant", ARG_CHOICE, &opt.variant, "whose threads", .choices = "openmp|pthreads" },
    { "allow-share", ARG_FLAG, &opt.allow_share, "threads that share a core are what you want" },
    { "allow-others", ARG_FLAG, &opt.allow_others, "do not look for other jobs on the same cores" },
    { "show", ARG_FLAG, &opt.show, "each node as a picture" },
    { "draw", ARG_FILE, &opt.draw, "the nodes as a drawing, into this SVG file" },
    { "plan", ARG_FLAG, &opt.plan, "place nothing: show what would be done" },
    { "topology", ARG_INPUT, &opt.topology, "plan: an XML file of hwloc's, or a synthetic "
      "description, of 16384 PUs at most; without, this machine" },
    { "granted", ARG_TEXT, &opt.granted, "plan: the CPUs that each rank is granted, as 0-3,8" },
    { "ranks", ARG_INT, &opt.ranks, "plan: ranks of the node, with 16384 threads in all at most",
      .min = 1, .max = 4096 },
    { "kind", ARG_CHOICE, &opt.kind, "plan: of cores that differ, which",
      .choices = "all|performance|efficiency" },
    ARGS_END,
};

/* ---- Each thread looks ---- */

struct team {
    struct place *place;
    struct seat *seats;
    int failed; /* errno of a thread that could not be bound or did not see its mask */
};

static void look(void *arg, size_t thread)
{
    struct team *const team = arg;

    if (place_thread(team->place, (int)thread) ||
        survey_thread(team->place, (int)thread, &team->seats[thread])) {
#pragma omp atomic write
        team->failed = errno;
    }
}

static void look_all(struct team *team)
{
    if (arg_is(opt.variant, "pthreads")) {
        if (team_run((size_t)opt.threads, look, team))
            team->failed = errno;
        return;
    }
#pragma omp parallel num_threads(opt.threads)
    look(team, (size_t)omp_get_thread_num());
}

/* ---- Rows, in rank order, on rank 0 ---- */

static void record_known(struct record *row, const char *name, int number)
{
    if (number >= 0)
        record_int(row, name, number);
    else
        record_null(row, name);
}

struct rank_info {
    char host[64], granted[128];
    int threads;
};

static void add_rows(struct world *w, int rank, const struct rank_info *info, const struct seat *seats)
{
    const hwloc_bitmap_t set = hwloc_bitmap_alloc();
    char bound[128];

    for (int i = 0; i < info->threads; i++) {
        struct record row = w->program.record;
        set_of(&seats[i].bound, set);
        hwloc_bitmap_list_snprintf(bound, sizeof bound, set);
        record_int(&row, "rank", rank);
        record_text(&row, "host", info->host);
        record_int(&row, "thread", i);
        record_text(&row, "granted_os", info->granted);
        record_text(&row, "bound_os", bound);
        record_known(&row, "cpu_os", seats[i].cpu_os);
        record_known(&row, "core_logical", seats[i].core);
        record_known(&row, "package_logical", seats[i].package);
        record_known(&row, "numa_logical", seats[i].numa);
        record_bool(&row, "verified", seats[i].right && seats[i].thread == i);
        program_row(&w->program, &row);
    }
    hwloc_bitmap_free(set);
}

static void collect(struct world *w, const struct survey *survey)
{
    struct rank_info info = { .threads = survey->threads };

    gethostname(info.host, sizeof info.host - 1);
    memcpy(info.granted, survey->granted, sizeof info.granted);
    if (w->rank > 0) {
        MPI_Send(&info, sizeof info, MPI_BYTE, 0, 0, w->comm);
        MPI_Send(survey->seats, info.threads * (int)sizeof(struct seat), MPI_BYTE, 0, 1, w->comm);
        return;
    }
    add_rows(w, 0, &info, survey->seats);
    for (int rank = 1; rank < w->size; rank++) {
        MPI_Recv(&info, sizeof info, MPI_BYTE, rank, 0, w->comm, MPI_STATUS_IGNORE);
        struct seat *const seats = world_alloc(w, (size_t)info.threads, sizeof *seats);
        MPI_Recv(seats, info.threads * (int)sizeof *seats, MPI_BYTE, rank, 1, w->comm,
                 MPI_STATUS_IGNORE);
        add_rows(w, rank, &info, seats);
        free(seats);
    }
}

/* ---- The verdict of a node, and its picture ---- */

enum { FINDINGS = 16, LINE = 1024, PUS_MOST = 16384, SEATS_MOST = 16384, CPUS_MOST = 1 << 20 };

static void print_cures(const struct job *job, enum remedy remedy, FILE *text)
{
    char line[LINE];

    if (remedy == REMEDY_ELSEWHERE && hwloc_bitmap_iszero(job->cpus)) {
        fprintf(text, "#   cure: none on this node, for no CPU is free: wait, or ask for a node of your "
                "own\n");
        return;
    }
    const bool elsewhere = remedy == REMEDY_ELSEWHERE;
    if (remedy == REMEDY_LAUNCHER || elsewhere) {
        cure_mpirun(job, elsewhere, line, sizeof line);
        fprintf(text, "#   cure: %s\n", line);
    }
    if (remedy == REMEDY_LAUNCHER || remedy == REMEDY_CPUS || elsewhere) {
        cure_srun(job, elsewhere, line, sizeof line);
        fprintf(text, "#   cure%s: %s\n", remedy == REMEDY_CPUS ? ", in a job of so many CPUs"
                                                                : ", under Slurm", line);
    }
    if (remedy == REMEDY_THREADS || (remedy == REMEDY_LAUNCHER && job->threads > 1)) {
        cure_threads(job, line, sizeof line);
        fprintf(text, "#   cure%s: %s\n", remedy == REMEDY_THREADS ? "" : ", and for its threads",
                line);
    }
}

/* Writes the node's part of the report; `wrong` gets the first finding that is. */
static void tell(const struct layout *layout, const char *node, const struct job *job, FILE *text,
                 char *wrong, size_t size)
{
    struct finding findings[FINDINGS];
    const int count = judge_layout(layout, findings, FINDINGS);

    if (opt.show)
        draw_text(layout, node, text);
    if (count < 0)
        fprintf(text, "# there is no memory to judge node %s\n", node);
    for (int i = 0; i < count; i++) {
        const bool is_wrong = findings[i].severity == WRONG &&
                              (!opt.allow_share || findings[i].remedy == REMEDY_ELSEWHERE);
        fprintf(text, "# %s: %s\n", is_wrong ? "wrong" : "note", findings[i].text);
        if (is_wrong && !*wrong)
            snprintf(wrong, size, "%s", findings[i].text);
        if (is_wrong && (i == 0 || findings[i].remedy != findings[i - 1].remedy))
            print_cures(job, findings[i].remedy, text);
    }
}

/* What rank 0 of a node has to say; the texts are freed by the caller. */
struct page {
    char *text, *svg;
    size_t text_size, svg_size;
    int height;
    char wrong[256];
};

static void open_page(struct world *w, struct page *page, FILE **text, FILE **svg)
{
    *page = (struct page){ 0 };
    *text = open_memstream(&page->text, &page->text_size);
    *svg = open_memstream(&page->svg, &page->svg_size);
    if (!*text || !*svg)
        world_abort(w, UNABLE, "no memory for the report");
}

static void close_page(struct world *w, FILE *text, FILE *svg)
{
    if (fclose(text) || fclose(svg))
        world_abort(w, UNABLE, "no memory for the report");
}

/* Collective. The parts of all nodes, in one file. */
static enum status save_drawing(struct world *w, const struct page *page)
{
    const int drawn = page->height > 0;
    int count = 0;
    char *parts[1024];
    int heights[1024];
    enum status status = PASS;

    if (w->rank > 0 && drawn) {
        MPI_Send(&page->height, 1, MPI_INT, 0, 2, w->comm);
        MPI_Send(page->svg, (int)page->svg_size + 1, MPI_CHAR, 0, 3, w->comm);
    }
    for (int node = 0; node < w->nodes && w->rank == 0 && node < 1024; node++) {
        MPI_Status from;
        int size;
        if (node == 0) {
            parts[0] = page->svg;
            heights[0] = page->height;
        } else {
            MPI_Recv(&heights[node], 1, MPI_INT, MPI_ANY_SOURCE, 2, w->comm, &from);
            MPI_Probe(from.MPI_SOURCE, 3, w->comm, &from);
            MPI_Get_count(&from, MPI_CHAR, &size);
            parts[node] = world_alloc(w, (size_t)size, 1);
            MPI_Recv(parts[node], size, MPI_CHAR, from.MPI_SOURCE, 3, w->comm, MPI_STATUS_IGNORE);
        }
        count++;
    }
    if (w->rank == 0) {
        FILE *const file = fopen(opt.draw, "w");
        bool failed = !file;
        if (file) {
            draw_svg_document(parts, heights, count, file);
            failed = ferror(file);
            failed |= fclose(file) != 0;
        }
        if (failed)
            program_error("%s: %s: the drawing is not saved", opt.draw, strerror(errno));
        status = failed ? FAIL : PASS;
    }
    for (int node = 1; node < count; node++)
        free(parts[node]);
    return world_agree(w, status);
}

/* Collective. Prints what the nodes have to say, and gives the verdict. */
static enum status conclude(struct world *w, struct page *page, uint64_t place, const char *wrong,
                            const char *right)
{
    world_print(w, page->text ? page->text : "");
    enum status status = opt.draw ? save_drawing(w, page) : PASS;
    free(page->text);
    free(page->svg);
    if (status != PASS)
        return status;
    const struct verdict verdict = verify_places(w, place, "%s", wrong);
    return program_verdict(&w->program, verdict.right, "%s", verdict.right ? right : verdict.wrong);
}

/* ---- The two ways to run ---- */

static enum status report(struct world *w, const char *command)
{
    struct place place;
    struct survey survey;
    struct page page = { 0 };
    char host[64] = "", wrong[256] = "", right[128];

    place_open(&place, w, opt.threads, opt.place);
    struct team team = { &place, world_alloc(w, (size_t)opt.threads, sizeof *team.seats), 0 };
    for (int i = 0; i < opt.threads; i++)
        team.seats[i] = (struct seat){ .thread = -1, .cpu_os = -1 };
    look_all(&team);
    if (*place.reason && !arg_is(opt.place, "none"))
        program_note(&w->program, "nothing was bound: %s", place.reason);
    survey_node(&survey, w, &place, opt.threads, team.seats, !opt.allow_others);
    collect(w, &survey);
    gethostname(host, sizeof host - 1);
    for (int i = opt.threads - 1; i >= 0; i--)
        if (survey.seats[i].thread != i || !survey.seats[i].right)
            snprintf(wrong, sizeof wrong, "rank %d, thread %d: runs on CPU %d, where it is not bound "
                     "or which was not granted (%s): %s", w->rank, i, survey.seats[i].cpu_os,
                     survey.granted, strerror(team.failed));
    if (w->node_rank == 0) {
        FILE *text, *svg;
        const hwloc_bitmap_t free_cpus = hwloc_bitmap_dup(
            hwloc_topology_get_allowed_cpuset(survey.topology));
        hwloc_bitmap_andnot(free_cpus, free_cpus, survey.busy);
        const struct job job = { w->mpi, w->size, w->most_ranks_on_a_node, opt.threads,
                                 survey.topology, free_cpus, command };
        open_page(w, &page, &text, &svg);
        tell(&survey.layout, host, &job, text, page.wrong, sizeof page.wrong);
        if (opt.draw)
            page.height = draw_svg(&survey.layout, host, svg);
        close_page(w, text, svg);
        hwloc_bitmap_free(free_cpus);
    }
    const bool is_wrong = *wrong || *page.wrong;
    snprintf(right, sizeof right, "%d rank%s of %d thread%s: all run where they should", w->size,
             w->size == 1 ? "" : "s", opt.threads, opt.threads == 1 ? "" : "s");
    const enum status status = conclude(w, &page, is_wrong ? (uint64_t)w->rank : UINT64_MAX,
                                        *wrong ? wrong : page.wrong, right);
    survey_close(&survey);
    place_close(&place);
    return status;
}

/* Into how many parts a synthetic description cuts the machine at last, before hwloc makes it: each
 * level is [TYPE:]COUNT, what is in brackets is of no account. */
static size_t count_parts(const char *text)
{
    size_t parts = 1;
    int depth = 0;

    for (const char *c = text; *c; c++) {
        depth += *c == '(' || *c == '[' ? 1 : *c == ')' || *c == ']' ? -1 : 0;
        if (depth == 0 && isdigit((unsigned char)*c) && (c == text || c[-1] == ':' || c[-1] == ' '))
            parts = size_product(parts, strtoul(c, NULL, 10));
    }
    return parts;
}

/* This machine, or the one that --topology names. */
static enum status load_machine(hwloc_topology_t *topology)
{
    const bool is_file = opt.topology && access(opt.topology, R_OK) == 0;

    hwloc_topology_init(topology);
    if (opt.topology && !is_file && count_parts(opt.topology) > PUS_MOST) {
        program_error("--topology %s: of more than %d PUs: give less", opt.topology, PUS_MOST);
        return USAGE;
    }
    hwloc_topology_set_flags(*topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    const int status = !opt.topology ? 0
                       : is_file     ? hwloc_topology_set_xml(*topology, opt.topology)
                                     : hwloc_topology_set_synthetic(*topology, opt.topology);
    if (status || hwloc_topology_load(*topology)) {
        program_error("--topology %s: neither a file of hwloc's XML that can be read nor a "
                      "synthetic description", opt.topology ? opt.topology : "");
        return USAGE;
    }
    if (hwloc_get_nbobjs_by_type(*topology, HWLOC_OBJ_PU) > PUS_MOST) {
        program_error("--topology %s: of more than %d PUs: give less",
                      opt.topology ? opt.topology : "", PUS_MOST);
        return USAGE;
    }
    return PASS;
}

/* PUs by the system's numbers, freed by the caller: hwloc would look through all for each. */
static hwloc_obj_t *list_pus(struct world *w, hwloc_topology_t topology)
{
    const int last = hwloc_bitmap_last(hwloc_topology_get_complete_cpuset(topology));
    hwloc_obj_t *const pus = world_alloc(w, (size_t)last + 1, sizeof *pus), pu = NULL;

    while ((pu = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_PU, pu)))
        pus[pu->os_index] = pu;
    return pus;
}

static void plan_rows(struct world *w, hwloc_topology_t topology, const struct plan *plan,
                      const char *granted)
{
    hwloc_obj_t *const pus = list_pus(w, topology);

    for (int r = 0; r < plan->ranks; r++)
        for (int t = 0; t < plan->threads[r]; t++) {
            const hwloc_obj_t pu = pus[hwloc_bitmap_first(plan->masks[r][t])];
            const hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_CORE, pu);
            const hwloc_obj_t package = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_PACKAGE,
                                                                       pu);
            struct record row = w->program.record;
            char bound[128];
            hwloc_bitmap_list_snprintf(bound, sizeof bound, plan->masks[r][t]);
            record_int(&row, "rank", r);
            record_int(&row, "thread", t);
            record_text(&row, "granted_os", granted);
            record_text(&row, "bound_os", bound);
            record_known(&row, "core_logical", core ? (int)core->logical_index : -1);
            record_known(&row, "package_logical", package ? (int)package->logical_index : -1);
            record_known(&row, "numa_logical", hwloc_bitmap_first(pu->nodeset));
            program_row(&w->program, &row);
        }
    free(pus);
}

/* The CPUs of --granted, or all that are allowed. */
static enum status read_granted(hwloc_topology_t topology, hwloc_bitmap_t granted)
{
    const hwloc_const_bitmap_t allowed = hwloc_topology_get_allowed_cpuset(topology);
    bool is_list = true;

    hwloc_bitmap_copy(granted, allowed);
    if (!opt.granted)
        return PASS;
    for (const char *c = opt.granted; *c && is_list; c++) {
        is_list = strchr("0123456789,-", *c);
        if (isdigit((unsigned char)*c) && (c == opt.granted || !isdigit((unsigned char)c[-1])))
            is_list = strtoul(c, NULL, 10) < CPUS_MOST;
    }
    if (!is_list || hwloc_bitmap_list_sscanf(granted, opt.granted)) {
        program_error("--granted %s: not a list of CPUs: give their numbers, as 0-3,8",
                      opt.granted);
        return USAGE;
    }
    hwloc_bitmap_and(granted, granted, allowed);
    if (!hwloc_bitmap_iszero(granted))
        return PASS;
    program_error("--granted %s: no CPU of that machine is among them: its CPUs are numbered from %d "
                  "to %d", opt.granted, hwloc_bitmap_first(allowed), hwloc_bitmap_last(allowed));
    return USAGE;
}

static void show_plan(struct world *w, const struct layout *layout, const struct plan *plan,
                      const char *granted, const char *command, struct page *page)
{
    const char *const name = opt.topology ? opt.topology : "here";
    const struct job job = { w->mpi, opt.ranks, opt.ranks, opt.threads, layout->topology,
                             hwloc_topology_get_allowed_cpuset(layout->topology), command };
    FILE *text, *svg;

    open_page(w, page, &text, &svg);
    plan_rows(w, layout->topology, plan, granted);
    tell(layout, name, &job, text, page->wrong, sizeof page->wrong);
    if (opt.draw)
        page->height = draw_svg(layout, name, svg);
    close_page(w, text, svg);
}

/* Rank 0 alone; the others have nothing to say. */
static enum status plan_machine(struct world *w, hwloc_topology_t topology, const char *command,
                                struct page *page)
{
    const size_t ranks = (size_t)opt.ranks;
    const char *const policy = arg_is(opt.place, "none") ? "balanced" : opt.place;
    hwloc_bitmap_t *const granted = world_alloc(w, ranks, sizeof *granted);
    hwloc_bitmap_t given = hwloc_bitmap_alloc();
    int *const threads = world_alloc(w, ranks, sizeof *threads);
    int *const numbers = world_alloc(w, ranks, sizeof *numbers);
    char list[128];
    struct plan plan;
    enum status status = read_granted(topology, given);

    for (size_t r = 0; r < ranks; r++) {
        granted[r] = hwloc_bitmap_dup(given);
        threads[r] = opt.threads;
        numbers[r] = (int)r;
    }
    hwloc_bitmap_list_snprintf(list, sizeof list, given);
    const struct plan_request request = { topology, opt.ranks, (const hwloc_const_bitmap_t *)granted,
                                          threads, plan_policy_of(policy),
                                          arg_is(opt.kind, "all")           ? PLAN_ALL
                                          : arg_is(opt.kind, "performance") ? PLAN_PERFORMANCE
                                                                            : PLAN_EFFICIENCY };
    if (status == PASS && plan_make(&request, &plan, NULL) == 0) {
        const struct layout layout = { .topology = topology, .ranks = opt.ranks, .numbers = numbers,
                                       .threads = threads, .granted = granted, .masks = plan.masks };
        show_plan(w, &layout, &plan, list, command, page);
        plan_free(&plan);
    } else if (status == PASS && errno == ENOMEM) {
        program_error("no memory for a plan of %d ranks: give less", opt.ranks);
        status = UNABLE;
    } else if (status == PASS) {
        program_error("--granted %s: no core of kind %s is among them", list, opt.kind);
        status = USAGE;
    }
    for (size_t r = 0; r < ranks; r++)
        hwloc_bitmap_free(granted[r]);
    hwloc_bitmap_free(given);
    free(numbers);
    free(threads);
    free(granted);
    return status;
}

static enum status dry_run(struct world *w)
{
    struct page page = { 0 };
    enum status status = PASS;

    if (w->size > 1)
        return world_usage(w, "--plan: start one rank, and give the number with --ranks");
    hwloc_topology_t topology;
    status = load_machine(&topology);
    if (status == PASS)
        status = plan_machine(w, topology, "PROGRAM", &page);
    if (status == PASS)
        status = conclude(w, &page, *page.wrong ? 0 : UINT64_MAX, page.wrong,
                          "the ranks and threads of the plan are placed as well as they can be");
    hwloc_topology_destroy(topology);
    return status;
}

int main(int argc, char **argv)
{
    struct world w;
    char command[512];

    opt.threads = omp_get_max_threads();
    enum status status = world_open(&w, argc, argv, MPI_THREAD_FUNNELED, opt.threads, options);
    if (status == PASS && opt.plan && opt.ranks * opt.threads > SEATS_MOST)
        status = world_usage(&w, "--ranks %d --threads %d: more than %d threads in all: give less",
                             opt.ranks, opt.threads, SEATS_MOST);
    if (status == PASS && opt.draw) { /* told before the ranks are looked at */
        const bool can = w.rank > 0 || file_writable(opt.draw) == 0;
        if (!can)
            program_error("--draw %s: %s: name a file that can be written", opt.draw,
                          strerror(errno));
        status = world_agree(&w, can ? PASS : USAGE);
    }
    if (status == PASS && !opt.plan && (opt.topology || opt.granted))
        status = world_usage(&w, "--topology and --granted: together with --plan");
    if (status == PASS)
        status = opt.plan ? dry_run(&w)
                          : report(&w, cure_quote(argv, command, sizeof command));
    return world_close(&w, status);
}
