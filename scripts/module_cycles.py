"""Finds cycles between the modules of a crate, from the paths that its source files name.

A module is a file. An edge goes from the module that names an item to the module that defines it; a parent that only
re-exports what its children define is looked through, and tests are left out.
"""
import re
from pathlib import Path

ITEM = re.compile(r"\b(?:struct|enum|union|trait|fn|type|const|static|macro_rules!)\s+(?:mut\s+)?(\w+)")
MODULE = re.compile(r"((?:#\[[^\]]*\]\s*)*)(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*([;{])")
USE = re.compile(r"((?:pub(?:\([^)]*\))?)\s+)?\buse\s+([^;]+);")
PATH = re.compile(r"(?<![\w:])(\w+(?:::\w+)+)")


def without_comments_and_strings(text):
    pattern = r'//[^\n]*|/\*.*?\*/|r#*"(?:.*?)"#*|b?"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])\''
    return re.sub(pattern, lambda found: '""' if '"' in found.group() else " ", text, flags=re.DOTALL)


def without_inline_tests(text):
    """Cuts modules written in braces after `#[cfg(test)]`."""
    while found := re.search(r"#\[cfg\((?:test|all\(test[^\]]*)\)\]\s*(?:#\[[^\]]*\]\s*)*mod\s+\w+\s*\{", text):
        depth, end = 1, found.end()
        while depth and end < len(text):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        text = text[: found.start()] + text[end:]
    return text


def leaves(tree, prefix=()):
    """Every path of a `use` tree, as (path, name under which it is known)."""
    tree = tree.strip()
    if (brace := tree.find("{")) >= 0:
        head = tuple(part.strip() for part in tree[:brace].split("::") if part.strip())
        depth, part, parts = 0, "", []
        for letter in tree[brace + 1 : tree.rfind("}")]:
            depth += {"{": 1, "}": -1}.get(letter, 0)
            if letter == "," and depth == 0:
                parts.append(part)
                part = ""
            else:
                part += letter
        for one in [*parts, part]:
            if one.strip():
                yield from leaves(one, prefix + head)
        return
    path, _, alias = tree.partition(" as ")
    path = prefix + tuple(part.strip() for part in path.split("::") if part.strip())
    if path and path[-1] == "self":
        path = path[:-1]
    yield path, (alias.strip() or path[-1])


class Module:
    def __init__(self, path, file, text):
        self.path, self.file = path, file
        self.items = set(ITEM.findall(text))
        self.children = {name for attributes, name, _ in MODULE.findall(text) if "cfg(test" not in attributes}
        self.imports, self.exports = {}, {}
        self.globs = []
        self.uses = []
        for visibility, tree in USE.findall(text):
            for path, name in leaves(tree):
                if path[-1] == "*":
                    (self.globs if visibility else self.uses).append(path[:-1] if visibility else path)
                elif visibility:
                    self.exports[name] = path
                else:
                    self.imports[name] = path
        self.paths = {tuple(found.split("::")) for found in PATH.findall(USE.sub("", text))}


def modules_of(root):
    """Modules of a crate by path, from its root file; those under `#[cfg(test)]` are left out."""
    found = {}

    def read(path, file, folder):
        text = without_inline_tests(without_comments_and_strings(file.read_text()))
        module = found[path] = Module(path, file, text)
        for child in sorted(module.children):
            for candidate in (folder / f"{child}.rs", folder / child / "mod.rs"):
                if candidate.is_file():
                    read((*path, child), candidate, folder / child)

    read((), root, root.parent)
    return found


def absolute(modules, module, path):
    """A path from the root of the crate; `None` where it leads out of it."""
    head, rest, base = path[0], path[1:], module.path
    if head == "crate":
        return rest
    if head == "self":
        return (*base, *rest)
    if head == "super":
        base = base[:-1]
        while rest and rest[0] == "super":
            base, rest = base[:-1], rest[1:]
        return (*base, *rest)
    if head in module.children and (*base, head) in modules:
        return (*base, *path)
    return None


def definer(modules, path, seen=()):
    """Path of the module that defines what `path` names; `None` where that is another crate."""
    here = ()
    while len(here) < len(path) and (*here, path[len(here)]) in modules:
        here = (*here, path[len(here)])
    if len(here) == len(path):
        return here
    module, name = modules[here], path[len(here)]
    if name in module.items or (here, name) in seen:
        return here
    for target in [module.exports.get(name), module.imports.get(name)]:
        if target:
            whole = absolute(modules, module, target)
            return definer(modules, whole, (*seen, (here, name))) if whole is not None else None
    for glob in module.globs:
        whole = absolute(modules, module, glob)
        if whole is not None and (where := definer(modules, (*whole, name), (*seen, (here, name)))) is not None:
            return where
    return here


def edges(modules):
    found = {}
    for path, module in modules.items():
        named = [*module.imports.values(), *(use[:-1] for use in module.uses if use[-1] == "*"), *module.paths]
        targets = set()
        for one in named:
            whole = absolute(modules, module, one)
            if whole is None and len(one) > 1 and one[0] in module.imports:
                first = absolute(modules, module, module.imports[one[0]])
                whole = (*first, *one[1:]) if first is not None else None
            if whole is None:
                continue
            target = definer(modules, whole)
            if target is not None and target != path:
                targets.add(target)
        found[path] = targets
    return found


def cycles(graph):
    """Strongly connected sets of more than one module, by Tarjan's algorithm."""
    index, low, stack, result, order = {}, {}, [], [], [0]

    def visit(node):
        index[node] = low[node] = order[0]
        order[0] += 1
        stack.append(node)
        for target in sorted(graph[node]):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            group = []
            while True:
                member = stack.pop()
                group.append(member)
                if member == node:
                    break
            if len(group) > 1:
                result.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return result


def faults(crate):
    """A line for each cycle in the crate in this folder."""
    lines = []
    for root in (crate / "src/lib.rs", crate / "src/main.rs"):
        if not root.is_file():
            continue
        modules = modules_of(root)
        graph = edges(modules)
        for group in cycles(graph):
            names = {path: "::".join(path) or "(root)" for path in group}
            arrows = [f"{names[path]} → {names[target]}" for path in group for target in sorted(graph[path]) if target in names]
            lines.append(f"crate `{crate.name}`: modules depend on each other: {', '.join(arrows)}")
    return lines


if __name__ == "__main__":
    import sys
    for folder in sorted(Path("crates").iterdir()):
        for line in faults(folder):
            print(line)
