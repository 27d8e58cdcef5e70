/*
 * scatter - what MPI_Scatterv does, by hand (MPI 3.1, section 5.6): blocks without gaps, whose
 * sizes all ranks know.
 *
 *   linear    (p-1) a + (p-1)/p n b: the root sends each its block
 *   binomial  lg p a + (p-1)/p n b: the root sends half of all to one rank, which hands it on; the
 *             least possible (Chan, Heimlich, Purkayastha, van de Geijn, CCPE 19, 2007), but inner
 *             ranks need room for their subtree's blocks
 *   shared    see shared.h
 */
#ifndef MPI_LIB_COLL_SCATTER_H
#define MPI_LIB_COLL_SCATTER_H

#include "mpi/lib/coll/coll.h"

extern const struct coll_algorithm coll_scatter_algorithms[];

coll_scatter coll_scatter_linear, coll_scatter_binomial;

#endif
