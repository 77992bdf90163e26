/* What a process and all that it started have used. */
#ifndef USAGE_H
#define USAGE_H

#define TREE_MOST 4096

struct tree {
    int pids[TREE_MOST];
    int count;
};

/* The process and its descendants, as they are now. */
void tree_read(struct tree *tree, int root);

/* CPU time of all their threads, in ns, from the scheduler's own count. A thread that has ended is not in it. */
double tree_cpu_ns(const struct tree *tree);

/* Resident memory in MiB; pages that they share count in each. */
double tree_rss_mib(const struct tree *tree);

#endif
