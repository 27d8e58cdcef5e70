#include "hybrid/lib/checkpoint.h"
#include "local/lib/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct header {
    char magic[16];
    uint64_t order; /* of bytes: reads as another number on other machines */
    uint64_t n, radius, form, seed, step;
    uint64_t points;  /* digest of the field */
    uint64_t unused[6];
    uint64_t digest;  /* of what stands before it */
};

static const char magic[16] = "lockstep plane 1";
static const uint64_t order = UINT64_C(0x0102030405060708);

static struct header header_of(const struct plane *p, uint64_t points)
{
    struct header header = { .order = order, .n = p->n, .radius = (uint64_t)p->star.radius,
                             .form = (uint64_t)p->form, .seed = p->seed, .step = p->step,
                             .points = points };

    memcpy(header.magic, magic, sizeof magic);
    header.digest = digest(&header, offsetof(struct header, digest));
    return header;
}

/* ---- What all ranks say together ---- */

/* Collective. The lowest rank that has failed (its `error` is not empty) tells the others. */
static int agree(const struct world *w, char *error, size_t error_size)
{
    int speaker = error[0] ? w->rank : w->size;

    MPI_Allreduce(MPI_IN_PLACE, &speaker, 1, MPI_INT, MPI_MIN, w->comm);
    if (speaker == w->size)
        return 0;
    MPI_Bcast(error, (int)error_size, MPI_CHAR, speaker, w->comm);
    return -1;
}

/* Writes down the first failure of this rank. Returns whether there is none. */
static bool went_well(int code, const char *what, const char *path, char *error, size_t error_size)
{
    char text[MPI_MAX_ERROR_STRING];
    int length;

    if (code == MPI_SUCCESS)
        return true;
    MPI_Error_string(code, text, &length);
    text[strcspn(text, "\n")] = '\0'; /* MPICH's is a stack of lines */
    if (!error[0])
        snprintf(error, error_size, "%s: %s: %.80s", path, what, text);
    return false;
}

/* A sum over points of a number that tells place and bits: no matter who holds which. */
static uint64_t digest_points(const struct plane *p)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < p->rows.count; i++)
        for (uint64_t j = 0; j < p->columns.count; j++) {
            uint64_t bits;
            memcpy(&bits, plane_at(p, p->step, (ptrdiff_t)i, (ptrdiff_t)j), sizeof bits);
            const uint64_t place = (p->rows.start + i) * p->n + p->columns.start + j;
            bits ^= (place + 1) * UINT64_C(0x9e3779b97f4a7c15);
            bits = (bits ^ bits >> 31) * UINT64_C(0xbf58476d1ce4e5b9);
            sum += bits ^ bits >> 29;
        }
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_UINT64_T, MPI_SUM, p->world->comm);
    return sum;
}

/* ---- The part of a rank in the file and in memory ---- */

static bool has_points(const struct plane *p)
{
    return p->rows.count > 0 && p->columns.count > 0;
}

/* Doubles of a block within n x n; the whole array is one element of the type. */
static MPI_Datatype file_type(const struct plane *p)
{
    MPI_Datatype type;

    MPI_Type_create_subarray(2, (int[]){ (int)p->n, (int)p->n },
                             (int[]){ (int)p->rows.count, (int)p->columns.count },
                             (int[]){ (int)p->rows.start, (int)p->columns.start }, MPI_ORDER_C,
                             MPI_DOUBLE, &type);
    MPI_Type_commit(&type);
    return type;
}

static MPI_Datatype memory_type(const struct plane *p)
{
    MPI_Datatype type;

    MPI_Type_vector((int)p->rows.count, (int)p->columns.count, (int)p->stride, MPI_DOUBLE, &type);
    MPI_Type_commit(&type);
    return type;
}

typedef int transfer(MPI_File file, MPI_Offset offset, void *buffer, int count, MPI_Datatype type,
                     MPI_Status *status);

/* Takes `buffer` as reading does. */
static int write_all(MPI_File file, MPI_Offset offset, void *buffer, int count, MPI_Datatype type,
                     MPI_Status *status)
{
    return MPI_File_write_at_all(file, offset, buffer, count, type, status);
}

/* Collective over p->comm: all parts between the file and memory. */
static void move_points(const struct plane *p, MPI_File file, transfer *move, const char *what,
                        const char *path, char *error, size_t error_size)
{
    if (!has_points(p)) /* n is 0: of all ranks that have a part, each has points, or none */
        return;
    MPI_Datatype in_file = file_type(p), in_memory = memory_type(p);
    MPI_Status status;
    int moved = 0;

    const int viewed = MPI_File_set_view(file, sizeof(struct header), MPI_DOUBLE, in_file,
                                         "native", MPI_INFO_NULL);
    const int code = move(file, 0, plane_at(p, p->step, 0, 0), 1, in_memory, &status);
    if (went_well(viewed, what, path, error, error_size) &&
        went_well(code, what, path, error, error_size)) {
        MPI_Get_count(&status, in_memory, &moved);
        if (moved != 1 && !error[0])
            snprintf(error, error_size, "%s: %s: not all of it arrived: is the disk full?", path,
                     what);
    }
    MPI_Type_free(&in_memory);
    MPI_Type_free(&in_file);
}

/* ---- Writing ---- */

/* The room on the disk is taken before MPI-IO begins: a collective write that finds the disk full
 * is an error on one rank, and in Open MPI a hang on the others. */
static void begin(struct file_draft *draft, const char *path, uint64_t bytes, char *error,
                  size_t error_size)
{
    int failure = file_begin(draft, path) ? errno : 0;

#if _POSIX_ADVISORY_INFO > 0
    if (!failure)
        failure = posix_fallocate(draft->fd, 0, (off_t)bytes);
#else
    (void)bytes;
#endif
    if (failure)
        snprintf(error, error_size, "%s: %s", path, strerror(failure));
}

/* Opened again: other nodes have made it longer. A file is there after a crash only when its data
 * is on the disk, and its name. */
static void finish(struct file_draft *draft, const char *path, uint64_t bytes, char *error,
                   size_t error_size)
{
    const int file = open(draft->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    const off_t length = file < 0 ? -1 : lseek(file, 0, SEEK_END);

    if (file >= 0 && length >= 0 && (uint64_t)length != bytes)
        snprintf(error, error_size, "%s: not all of it arrived: is the disk full?", path);
    else if (file < 0 || length < 0 || file_finish(draft, true))
        snprintf(error, error_size, "%s: %s", path, strerror(errno));
    if (file >= 0)
        close(file);
}

/* Collective. Rank 0's name on all ranks, which free it. Open MPI cannot open a name of one
 * character, and MPI-IO takes what stands before a colon for a file system's kind, so that a name
 * without a folder gets one. */
static char *share_name(const struct world *w, const char *name)
{
    int size = w->rank == 0 ? (int)strlen(name) + 3 : 0;

    MPI_Bcast(&size, 1, MPI_INT, 0, w->comm);
    char *const shared = world_alloc(w, (size_t)size, 1);
    if (w->rank == 0)
        snprintf(shared, (size_t)size, "%s%s", strchr(name, '/') ? "" : "./", name);
    MPI_Bcast(shared, size, MPI_CHAR, 0, w->comm);
    return shared;
}

static void write_file(const struct plane *p, MPI_File file, const struct header *header,
                       const char *path, char *error, size_t error_size)
{
    int rank;

    MPI_Comm_rank(p->comm, &rank);
    if (rank == 0)
        went_well(MPI_File_write_at(file, 0, header, sizeof *header, MPI_BYTE, MPI_STATUS_IGNORE),
                  "writing", path, error, error_size);
    move_points(p, file, write_all, "writing", path, error, error_size);
    went_well(MPI_File_sync(file), "writing", path, error, error_size);
    went_well(MPI_File_close(&file), "closing", path, error, error_size);
}

int checkpoint_write(const struct plane *p, const char *path, char *error, size_t error_size)
{
    const struct world *const w = p->world;
    const struct header header = header_of(p, digest_points(p));
    const uint64_t bytes = sizeof header + p->n * p->n * sizeof(double);
    struct file_draft draft = { .fd = -1 };
    MPI_File file = MPI_FILE_NULL;

    error[0] = '\0';
    if (w->rank == 0)
        begin(&draft, path, bytes, error, error_size);
    int failed = agree(w, error, error_size);
    if (!failed) {
        char *const name = share_name(w, draft.name);
        if (p->comm != MPI_COMM_NULL)
            went_well(MPI_File_open(p->comm, name, MPI_MODE_WRONLY, MPI_INFO_NULL, &file),
                      "opening", path, error, error_size);
        free(name);
        failed = agree(w, error, error_size);
    }
    if (!failed && p->comm != MPI_COMM_NULL)
        write_file(p, file, &header, path, error, error_size);
    failed = failed || agree(w, error, error_size);
    if (w->rank == 0 && !failed)
        finish(&draft, path, bytes, error, error_size);
    failed = failed || agree(w, error, error_size);
    if (w->rank == 0)
        file_drop(&draft); /* unless it is finished */
    return failed ? -1 : 0;
}

/* ---- Reading ---- */

static void judge_name(const char *path, char *error, size_t error_size)
{
    struct stat about;

    if (stat(path, &about))
        snprintf(error, error_size, "%s: %s: name a checkpoint", path, strerror(errno));
    else if (!S_ISREG(about.st_mode))
        snprintf(error, error_size, "%s: not a checkpoint of this program: name one", path);
}

/* Whether rank 0's header is one, and of the field that is asked for. */
static void judge(const struct header *header, MPI_Offset length, const struct plane *p,
                  enum plane_form form, uint64_t seed, const char *path, char *error,
                  size_t error_size)
{
    const uint64_t bytes = sizeof *header + header->n * header->n * sizeof(double);

    if (length < (MPI_Offset)sizeof *header || memcmp(header->magic, magic, sizeof magic) != 0)
        snprintf(error, error_size, "%s: not a checkpoint of this program: name one", path);
    else if (header->order != order)
        snprintf(error, error_size, "%s: written by a machine of another byte order: go on there",
                 path);
    else if (header->digest != digest(header, offsetof(struct header, digest)))
        snprintf(error, error_size, "%s: its header is damaged: take an older one", path);
    else if ((uint64_t)length != bytes)
        snprintf(error, error_size, "%s: %" PRId64 " bytes, it should have %" PRIu64 ": it was cut "
                 "off or is damaged: take an older one", path, (int64_t)length, bytes);
    else if (header->n != p->n || header->radius != (uint64_t)p->star.radius)
        snprintf(error, error_size, "%s: it is of --n %" PRIu64 " --radius %" PRIu64 ": give these",
                 path, header->n, header->radius);
    else if (header->form != (uint64_t)form)
        snprintf(error, error_size, "%s: it is of --field %s: give that", path,
                 header->form == PLANE_LINEAR ? "linear" : "rough");
    else if (form == PLANE_ROUGH && header->seed != seed)
        snprintf(error, error_size, "%s: it is of --seed %" PRIu64 ": give that", path,
                 header->seed);
}

static int read_all(MPI_File file, MPI_Offset offset, void *buffer, int count, MPI_Datatype type,
                    MPI_Status *status)
{
    return MPI_File_read_at_all(file, offset, buffer, count, type, status);
}

/* Rank 0 of w->comm is one of those that have the file open. */
static void read_header(const struct world *w, MPI_File file, struct header *header,
                        MPI_Offset *length, const char *path, char *error, size_t error_size)
{
    if (w->rank == 0 &&
        went_well(MPI_File_get_size(file, length), "reading", path, error, error_size) &&
        *length >= (MPI_Offset)sizeof *header)
        went_well(MPI_File_read_at(file, 0, header, sizeof *header, MPI_BYTE, MPI_STATUS_IGNORE),
                  "reading", path, error, error_size);
}

int checkpoint_read(struct plane *p, struct place *place, const char *path, enum plane_form form,
                    uint64_t seed, char *error, size_t error_size)
{
    const struct world *const w = p->world;
    struct header header = { .order = 0 };
    MPI_Offset length = 0;
    MPI_File file = MPI_FILE_NULL;
    char *const name = share_name(w, path);

    error[0] = '\0';
    if (w->rank == 0) /* MPI_File_open() would wait for the writer of a FIFO */
        judge_name(path, error, error_size);
    if (agree(w, error, error_size)) {
        free(name);
        return -1;
    }
    if (p->comm != MPI_COMM_NULL)
        went_well(MPI_File_open(p->comm, name, MPI_MODE_RDONLY, MPI_INFO_NULL, &file), "opening",
                  path, error, error_size);
    free(name);
    if (agree(w, error, error_size))
        return -1;
    read_header(w, file, &header, &length, path, error, error_size);
    if (w->rank == 0 && !error[0])
        judge(&header, length, p, form, seed, path, error, error_size);
    int failed = agree(w, error, error_size);
    MPI_Bcast(&header, sizeof header, MPI_BYTE, 0, w->comm);
    if (!failed) {
        plane_fill(p, place, form, seed, header.step);
        if (p->comm != MPI_COMM_NULL)
            move_points(p, file, read_all, "reading", path, error, error_size);
        failed = agree(w, error, error_size);
    }
    if (p->comm != MPI_COMM_NULL)
        MPI_File_close(&file);
    if (!failed && digest_points(p) != header.points) {
        snprintf(error, error_size, "%s: its points are damaged: take an older one", path);
        failed = -1;
    }
    return failed ? -1 : 0;
}
