/*
 * components - what Open MPI loads while it starts stays loaded until the process ends.
 *
 * Open MPI 4 asks mpirun for events as it starts, and does not wait for the answer. In MPI_Finalize it
 * unloads the component that the answer is for (mca_pmix_*.so), while the thread that hears of it
 * (libpmix's) may still run: on a busy machine the answer to a short program comes that late, and
 * the right run ends with a segmentation fault at an address where nothing is any more.
 */
#ifndef MPI_LIB_COMPONENTS_H
#define MPI_LIB_COMPONENTS_H

/* To be called between MPI_Init and MPI_Finalize, by one thread. Does nothing elsewhere than on Linux
 * (dl_iterate_phdr, RTLD_NODELETE), and where no such component is loaded. Returns how many are
 * kept. */
int components_keep(void);

#endif
