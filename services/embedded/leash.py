"""Runs one command on a leash: it dies with its parent and, when asked, runs as another user.

Run as a script, by path and without site packages: `leash.py PARENT SIGNAL UID GID MODE ARGS…`. MODE `run` replaces itself with the
command ARGS; `reach` leaves with 0 if that user can pass through every directory and read every file of ARGS, else 1. UID `-1` stays
who it is.
The parent is the *thread* that started the command: start servers from a thread that lives as long as they should.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> int:
    parent, signal, uid, gid = (int(word) for word in argv[:4])
    mode, words = argv[4], argv[5:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if mode == "reach":
        return 0 if all(os.access(path, os.X_OK if os.path.isdir(path) else os.R_OK) for path in words) else 1
    if sys.platform == "linux":
        # After the change of user, which would clear it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0)
        if os.getppid() != parent:
            return 1
    os.umask(0o077)
    os.execv(words[0], words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
