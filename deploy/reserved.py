"""Names that a model must not have, as programs reach it by ``-I``, ``-l`` and ``luthier_``."""

from __future__ import annotations

import re

# What follows ``luthier_`` in the C API and in the runtime.
_API = re.compile(
    r"alternative|bytes|check_model|copy|copy_states|create|create_beside|destroy|dtype|enter_float_mode|error|fail|"
    r"find_entry|float_mode|form|found|get_sizes|grain|granted_cores|input|input_shape|instance|"
    r"instruction|leave_float_mode|loop|max|min|missing_feature|model|model_function|operation|"
    r"options|output|output_label|output_shape|phase_function|place|pool|pool_create|pool_destroy|profile|program|"
    r"read_state|reference|refusal|reject|reset|run|same_float_mode|set_float_mode|set_shapes|set_sizes|shape|size|slide|"
    r"space|state|state_length|status|status_text|"
    r"step|succeed|task|tensor|variant|weights|workers_start|workers_stop|"
    r"write_state|"
    r"(runtime|kernel|atfork|move|fetch)_.*|atfork|luthier.*"
)

# ``<name>.h`` would be found instead of these: of C and C++, POSIX, glibc, musl, gcc and clang.
_HEADERS = frozenset(
    "aio aliases alloca ar argp argz assert byteswap complex cpio cpuid crypt ctype dirent "
    "dlfcn elf endian envz err errno error execinfo fcntl features fenv float fmtmsg fnmatch "
    "fpu_control fstab fts ftw gconv gcov getopt glob gnu_versions grp gshadow iconv ieee754 "
    "ifaddrs inttypes iso646 langinfo lastlog libgen libintl limits link locale malloc math "
    "mcheck memory mntent monetary mqueue ndbm netdb nl_types nss obstack omp openacc paths "
    "poll printf proc_service pthread pty pwd quadmath re_comp regex regexp resolv rpc sched "
    "search semaphore setjmp sgtty shadow signal spawn stab stdalign stdarg stdatomic stdbit "
    "stdbool stdc_predef stdckdint stddef stdfix stdint stdio stdio_ext stdlib stdnoreturn "
    "string strings stropts syscall sysexits syslog syslimits tar term termio termios tgmath "
    "thread_db threads time trace ttyent uchar ucontext ulimit unistd unwind utime utmp utmpx "
    "vadefs values varargs wait wchar wctype wordexp acc_prof altivec arm_acle arm_neon arm_sve "
    "mm3dnow mm_malloc backtrace builtins cet intrin module opencl_c".split()
)
_INTRINSICS = re.compile(r"[a-z0-9]*intrin")

# ``-l<name>`` would be found instead of these: of glibc, musl, gcc, clang and their C++.
_LIBRARIES = frozenset(
    "anl asan atomic backtrace bsd brokenlocale c c_nonshared clang_rt cilkrts crypt dl g gcc "
    "gcc_eh gcc_s gfortran gomp hwasan itm ldap lsan m mcheck memusage mpx msan mvec nsl nss "
    "objc omp pcprofile posix pthread quadmath resolv rt ssp ssp_nonshared stdc stdcxx supc "
    "thread_db tsan ubsan unwind util xnet".split()
)


def is_reserved(name: str) -> bool:
    """Whether some use of the name would meet something else."""
    return (
        name in _HEADERS
        or name in _LIBRARIES
        or _INTRINSICS.fullmatch(name) is not None
        or is_of_the_api(name)
    )


def is_of_the_api(name: str) -> bool:
    """Whether ``luthier_<name>`` is something of the C API or the runtime."""
    return _API.fullmatch(name) is not None
