#include "usage.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROCESSES_MOST 32768

static int parent_of(int pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    /* the name, in brackets, may hold anything */
    char *behind_name = strrchr(text, ')');
    int parent;
    return behind_name && sscanf(behind_name + 2, "%*c %d", &parent) == 1 ? parent : -1;
}

void tree_read(struct tree *tree, int root)
{
    static int pids[PROCESSES_MOST], parents[PROCESSES_MOST];
    int count = 0;
    DIR *all = opendir("/proc");
    for (struct dirent *entry; all && (entry = readdir(all)) && count < PROCESSES_MOST;) {
        int pid = atoi(entry->d_name);
        if (pid <= 0)
            continue;
        pids[count] = pid;
        parents[count++] = parent_of(pid);
    }
    if (all)
        closedir(all);
    tree->pids[0] = root;
    tree->count = 1;
    for (int i = 0; i < tree->count; i++)
        for (int j = 0; j < count && tree->count < TREE_MOST; j++)
            if (parents[j] == tree->pids[i])
                tree->pids[tree->count++] = pids[j];
}

static double process_cpu_ns(int pid)
{
    char path[320];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *threads = opendir(path);
    double sum = 0;
    for (struct dirent *entry; threads && (entry = readdir(threads));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, entry->d_name);
        FILE *file = fopen(path, "r");
        if (!file)
            continue;
        unsigned long long on_cpu = 0;
        if (fscanf(file, "%llu", &on_cpu) == 1)
            sum += (double)on_cpu;
        fclose(file);
    }
    if (threads)
        closedir(threads);
    return sum;
}

double tree_cpu_ns(const struct tree *tree)
{
    double sum = 0;
    for (int i = 0; i < tree->count; i++)
        sum += process_cpu_ns(tree->pids[i]);
    return sum;
}

double tree_rss_mib(const struct tree *tree)
{
    long pages = 0;
    for (int i = 0; i < tree->count; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/statm", tree->pids[i]);
        FILE *file = fopen(path, "r");
        if (!file)
            continue;
        long size, resident;
        if (fscanf(file, "%ld %ld", &size, &resident) == 2)
            pages += resident;
        fclose(file);
    }
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}
