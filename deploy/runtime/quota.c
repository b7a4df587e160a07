/* How many cores the control groups of this process grant (CPU quotas, cgroup v2 and v1).
 * The files are documented in the kernel's admin-guide/cgroup-v2 and scheduler/sched-bwc. */
#define _GNU_SOURCE
#include "program.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_SIZE 4608

/* The beginning of a file as text; empty where it cannot be read. */
static void read_text(const char *path, char *text, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, size - 1);
    text[length < 0 ? 0 : length] = '\0';
    if (file >= 0)
        close(file);
}

/* A file that holds one or two numbers; what is no number ("max") reads as 0. */
static void read_numbers(const char *folder, const char *name, long long numbers[2])
{
    char path[PATH_SIZE], text[64], *rest;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    read_text(path, text, sizeof text);
    numbers[0] = strtoll(text, &rest, 10);
    numbers[1] = strtoll(rest, NULL, 10);
}

/* Whole cores, at least one, that the group at `folder` grants; no more than `cores`. */
static int32_t limit_of(const char *folder, int32_t cores)
{
    long long quota[2], period[2];
    read_numbers(folder, "cpu.max", quota);
    if (quota[0] <= 0 || quota[1] <= 0) {
        read_numbers(folder, "cpu.cfs_quota_us", quota);
        read_numbers(folder, "cpu.cfs_period_us", period);
        quota[1] = period[0];
    }
    if (quota[0] <= 0 || quota[1] <= 0 || quota[0] / quota[1] >= cores)
        return cores;
    return quota[0] < quota[1] ? 1 : (int32_t)(quota[0] / quota[1]);
}

/* The same for the group `path` of a hierarchy and for the groups around it. */
static int32_t limit_along(const char *hierarchy, const char *path, int32_t cores)
{
    char folder[PATH_SIZE];
    snprintf(folder, sizeof folder, "%s%s", hierarchy, path);
    char *slash = folder + strlen(hierarchy);
    for (;;) {
        cores = limit_of(folder, cores);
        char *last = strrchr(slash, '/');
        if (last == NULL)
            return cores;
        *last = '\0';
    }
}

/* Whether a line's list of controllers ("cpu,cpuacct") has "cpu". */
static int has_cpu(const char *controllers)
{
    size_t length = strcspn(controllers, ",");
    while (!(length == 3 && strncmp(controllers, "cpu", 3) == 0)) {
        if (controllers[length] == '\0')
            return 0;
        controllers += length + 1;
        length = strcspn(controllers, ",");
    }
    return 1;
}

int32_t luthier_granted_cores(const char *root, int32_t cores)
{
    char v2[256], v1[256], groups[256], text[4096], *state;
    snprintf(v2, sizeof v2, "%s/sys/fs/cgroup", root);
    snprintf(v1, sizeof v1, "%s/sys/fs/cgroup/cpu", root);
    snprintf(groups, sizeof groups, "%s/proc/self/cgroup", root);
    cores = limit_of(v1, limit_of(v2, cores));
    read_text(groups, text, sizeof text);
    for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
        char *controllers = strchr(line, ':'); /* id:controllers:path */
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (path == NULL)
            continue;
        *path++ = '\0';
        controllers++;
        if (*controllers == '\0')
            cores = limit_along(v2, path, cores);
        else if (has_cpu(controllers))
            cores = limit_along(v1, path, cores);
    }
    return cores;
}
