"""Compile scripts as the gateway does: real Jython 2.7, one JVM for all of them.

Debian: `apt-get install jython`. The bodies go in over stdin and nothing is executed.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.errors import JythonMissing

_JAR = Path("/usr/share/java/jython.jar")
_DEADLINE_S = 60.0

# Python 2.7, run by Jython. In: count, then per body its length in bytes and the bytes. Out: one line a body.
_COMPILER = r"""
import sys
from java.lang import System, Throwable
from java.io import DataInputStream, BufferedInputStream
from jarray import zeros
stream = DataInputStream(BufferedInputStream(getattr(System, 'in')))
for number in range(stream.readInt()):
    held = zeros(stream.readInt(), 'b')
    stream.readFully(held)
    source = held.tostring().decode('utf-8')
    try:
        compile(source, '<body>', 'exec', 0, 1)
        found = None
    except SyntaxError as problem:
        found = (problem.lineno or 0, str(problem.msg))
    except Exception as problem:
        found = (0, str(problem))
    except Throwable as problem:
        found = (0, unicode(problem).encode('ascii', 'replace'))
    sys.stdout.write(repr(found) + '\n')
sys.stdout.flush()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why Jython does not compile a body; `line` counts from 1, 0 when it says none."""

    line: int
    reason: str


class Compilation:
    """A JVM at work. Started early, asked late: it takes a second that other checks can use."""

    def __init__(self, sources: Sequence[str]) -> None:
        self._count = len(sources)
        encoded = [source.encode("utf-8") for source in sources]
        given = len(encoded).to_bytes(4) + b"".join(len(one).to_bytes(4) + one for one in encoded)
        command = jython_command()
        self._folder = tempfile.TemporaryDirectory(prefix="bridge-jython-")
        script = Path(self._folder.name, "compile.py")
        script.write_text(_COMPILER, encoding="ascii")
        sent = Path(self._folder.name, "bodies")
        sent.write_bytes(given)
        with sent.open("rb") as stream:
            self._process = subprocess.Popen(  # the command is found, never given
                [*command, str(script)], stdin=stream, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )

    def results(self) -> list[Refused | None]:
        """One answer a body, in their order; JythonMissing when the JVM did not do its work."""
        try:
            out, err = self._process.communicate(timeout=_DEADLINE_S)
        except subprocess.TimeoutExpired as problem:
            self.stop()
            raise JythonMissing(
                f"Jython did not answer within {_DEADLINE_S:g} s; is this machine overloaded? Try again"
            ) from problem
        finally:
            self._folder.cleanup()
        lines = [line for line in out.decode("ascii", "replace").splitlines() if line.strip()]
        if self._process.returncode != 0 or len(lines) != self._count:
            said = err.decode("utf-8", "replace").strip().splitlines()
            raise JythonMissing(
                f"Jython ended with {self._process.returncode} and {len(lines)} of {self._count} answers: "
                f"{said[-1] if said else 'it said nothing'}; reinstall it: apt-get install --reinstall jython"
            )
        answers = [ast.literal_eval(line) for line in lines]
        return [None if found is None else Refused(line=found[0], reason=found[1]) for found in answers]

    def stop(self) -> None:
        """End the JVM, when nobody wants its answer any more."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
        self._folder.cleanup()


def jython_command() -> list[str]:
    """How Jython is started here; JythonMissing says how to get it.

    Debian's jar is started directly: with the flags of a short-lived program it is up in half the time.
    """
    java = shutil.which("java")
    if java is not None and _JAR.is_file():
        return [
            java,
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-Xshare:auto",
            "-Xss4m",
            "-Dpython.import.site=false",
            "-Dpython.cachedir.skip=true",
            "-jar",
            str(_JAR),
            "-S",
            "-E",
        ]
    jython = shutil.which("jython")
    if jython is None:
        raise JythonMissing("Jython missing: apt-get install jython")
    return [jython, "-S", "-E"]
