"""A listener to a download that remembers."""

from dataclasses import dataclass, field


@dataclass
class Heard:
    bytes: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    left: list[tuple[str, str, str]] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)

    def starting(self, name):
        self.names.append(name)

    def arrived(self, done, total):
        self.bytes.append(done)
        self.total = total

    def retrying(self, problem, _seconds):
        self.problems.append(problem)

    def checking(self, title):
        self.checked.append(title)

    def leaving(self, mirror, problem, following):
        self.left.append((mirror, problem, following))

    def set_aside(self, path):
        self.aside.append(path)
