/* Prints how many of ARGV[2] cores the control groups under the root folder ARGV[1] grant. */
#include "program.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    printf("%d\n", (int)luthier_granted_cores(argv[1], atoi(argv[2])));
    return 0;
}
