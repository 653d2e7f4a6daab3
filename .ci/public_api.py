"""Prints the public items of a crate, a line each, from the JSON that rustdoc writes of it: FILE."""

import json
import sys

KNOWN_FORMATS = range(50, 70)
# Traits that hold for nearly every type and whose loss shows elsewhere, or that are no promise.
QUIET = {"StructuralPartialEq"}


def path_of(path, arguments):
    name = path.rsplit("::", 1)[-1]
    if not arguments:
        return name
    if "parenthesized" in arguments:
        inner = arguments["parenthesized"]
        output = f" -> {type_of(inner['output'])}" if inner["output"] else ""
        return f"{name}({', '.join(map(type_of, inner['inputs']))}){output}"
    if "angle_bracketed" not in arguments:
        return name
    inner = arguments["angle_bracketed"]
    parts = []
    for argument in inner["args"]:
        if "type" in argument:
            parts.append(type_of(argument["type"]))
        elif "lifetime" in argument:
            parts.append(argument["lifetime"])
        elif "const" in argument:
            parts.append(argument["const"]["expr"])
    for constraint in inner["constraints"]:
        binding = constraint["binding"]
        if "equality" in binding:
            value = binding["equality"]
            parts.append(f"{constraint['name']} = {type_of(value['type']) if 'type' in value else value}")
        else:
            parts.append(f"{constraint['name']}: {bounds_of(binding['constraint'])}")
    return f"{name}<{', '.join(parts)}>" if parts else name


def bounds_of(bounds):
    words = []
    for bound in bounds:
        if "trait_bound" in bound:
            trait = bound["trait_bound"]
            sign = {"none": "", "maybe": "?", "maybe_const": "~const "}[trait["modifier"]]
            words.append(sign + path_of(trait["trait"]["path"], trait["trait"]["args"]))
        elif "outlives" in bound:
            words.append(bound["outlives"])
        elif "use" in bound:
            words.append("use<..>")
    return " + ".join(words)


def type_of(kind):
    if kind is None:
        return "()"
    if kind == "infer":
        return "_"
    (name, value), = kind.items()
    if name == "resolved_path":
        return path_of(value["path"], value["args"])
    if name in ("generic", "primitive"):
        return value
    if name == "borrowed_ref":
        lifetime = f"{value['lifetime']} " if value["lifetime"] else ""
        return f"&{lifetime}{'mut ' if value['is_mutable'] else ''}{type_of(value['type'])}"
    if name == "tuple":
        return f"({', '.join(map(type_of, value))})"
    if name == "slice":
        return f"[{type_of(value)}]"
    if name == "array":
        return f"[{type_of(value['type'])}; {value['len']}]"
    if name == "impl_trait":
        return f"impl {bounds_of(value)}"
    if name == "dyn_trait":
        traits = [path_of(one["trait"]["path"], one["trait"]["args"]) for one in value["traits"]]
        return "dyn " + " + ".join(traits + ([value["lifetime"]] if value["lifetime"] else []))
    if name == "qualified_path":
        trait = value["trait"]
        of = f"<{type_of(value['self_type'])} as {path_of(trait['path'], trait['args'])}>" if trait and trait["path"] else type_of(value["self_type"])
        return f"{of}::{value['name']}"
    if name == "function_pointer":
        return "fn" + signature_of(value["sig"])
    if name == "raw_pointer":
        return f"*{'mut' if value['is_mutable'] else 'const'} {type_of(value['type'])}"
    raise ValueError(f"the kind of type {name}")


def signature_of(signature):
    inputs = ", ".join(f"{name}: {type_of(kind)}" for name, kind in signature["inputs"])
    output = f" -> {type_of(signature['output'])}" if signature["output"] else ""
    return f"({inputs}){output}"


def generics_of(generics):
    parameters = []
    for parameter in generics["params"]:
        (kind, value), = parameter["kind"].items()
        if kind == "lifetime":
            parameters.append(parameter["name"])
        elif kind == "const":
            parameters.append(f"const {parameter['name']}: {type_of(value['type'])}")
        elif not value["is_synthetic"]:
            bounds = bounds_of(value["bounds"])
            default = f" = {type_of(value['default'])}" if value["default"] else ""
            parameters.append(parameter["name"] + (f": {bounds}" if bounds else "") + default)
    wheres = []
    for predicate in generics["where_predicates"]:
        if "bound_predicate" in predicate:
            bound = predicate["bound_predicate"]
            wheres.append(f"{type_of(bound['type'])}: {bounds_of(bound['bounds'])}")
    return (
        f"<{', '.join(parameters)}>" if parameters else "",
        f" where {', '.join(wheres)}" if wheres else "",
    )


class Listing:
    def __init__(self, document):
        self.index = document["index"]
        self.lines = set()

    def item(self, identity):
        return self.index.get(str(identity))

    def function(self, path, item):
        function = item["inner"]["function"]
        before, after = generics_of(function["generics"])
        words = [word for word in ("const", "async", "unsafe") if function["header"][f"is_{word}"]]
        self.lines.add(" ".join(["pub", *words, f"fn {path}{before}{signature_of(function['sig'])}{after}"]))

    def fields(self, path, identities):
        for identity in identities:
            field = self.item(identity) if identity is not None else None
            if field and field["visibility"] in ("public", "default"):
                self.lines.add(f"pub {path}.{field['name']}: {type_of(field['inner']['struct_field'])}")

    def impls(self, path, identities):
        for identity in identities:
            item = self.item(identity)
            if not item:
                continue
            block = item["inner"]["impl"]
            if block["is_synthetic"] or block["blanket_impl"]:
                continue
            trait = block["trait"]
            before, after = generics_of(block["generics"])
            if trait:
                name = path_of(trait["path"], trait["args"])
                if name not in QUIET:
                    target = type_of(block["for"])
                    self.lines.add(f"impl{before} {name} for {target}{after}  [{path}]")
                    for inner in filter(None, map(self.item, block["items"])):
                        if "assoc_type" in inner["inner"]:
                            self.lines.add(f"type <{path} as {name}>::{inner['name']} = {type_of(inner['inner']['assoc_type']['type'])}")
                continue
            for inner in filter(None, map(self.item, block["items"])):
                if inner["visibility"] != "public":
                    continue
                if "function" in inner["inner"]:
                    self.function(f"{path}::{inner['name']}", inner)
                elif "assoc_const" in inner["inner"]:
                    self.lines.add(f"pub const {path}::{inner['name']}: {type_of(inner['inner']['assoc_const']['type'])}")

    def walk(self, path, item, name=None, above=()):
        (kind, inner), = item["inner"].items()
        path = f"{path}::{name or item['name']}"
        open_mark = "#[non_exhaustive] " if "non_exhaustive" in item["attrs"] or any("non_exhaustive" in str(one) for one in item["attrs"]) else ""
        if kind == "module":
            self.lines.add(f"pub mod {path}")
            self.module(path, inner, above)
        elif kind == "function":
            self.function(path, item)
        elif kind == "struct":
            before, after = generics_of(inner["generics"])
            self.lines.add(f"{open_mark}pub struct {path}{before}{after}")
            shape = inner["kind"]
            if isinstance(shape, dict):
                self.fields(path, shape.get("tuple") or shape.get("plain", {}).get("fields", []))
            self.impls(path, inner["impls"])
        elif kind == "enum":
            before, after = generics_of(inner["generics"])
            self.lines.add(f"{open_mark}pub enum {path}{before}{after}")
            for variant in filter(None, map(self.item, inner["variants"])):
                shape = variant["inner"]["variant"]["kind"]
                of = f"{path}::{variant['name']}"
                self.lines.add(f"pub {of}")
                if isinstance(shape, dict):
                    self.fields(of, shape.get("tuple") or shape.get("struct", {}).get("fields", []))
            self.impls(path, inner["impls"])
        elif kind == "trait":
            before, after = generics_of(inner["generics"])
            supers = bounds_of(inner["bounds"])
            self.lines.add(f"pub trait {path}{before}{': ' + supers if supers else ''}{after}")
            for member in filter(None, map(self.item, inner["items"])):
                of = f"{path}::{member['name']}"
                if "function" in member["inner"]:
                    self.function(of, member)
                elif "assoc_type" in member["inner"]:
                    self.lines.add(f"pub type {of}: {bounds_of(member['inner']['assoc_type']['bounds'])}")
        elif kind == "constant":
            self.lines.add(f"pub const {path}: {type_of(inner['type'])}")
        elif kind == "type_alias":
            before, after = generics_of(inner["generics"])
            self.lines.add(f"pub type {path}{before} = {type_of(inner['type'])}{after}")

    def module(self, path, module, above):
        for identity in module["items"]:
            item = self.item(identity)
            if not item or item["visibility"] != "public":
                continue
            if "use" not in item["inner"]:
                self.walk(path, item, above=above)
                continue
            use = item["inner"]["use"]
            target = self.item(use["id"]) if use["id"] is not None else None
            if target is None:
                self.lines.add(f"pub use {path}::{use['name']} = {use['source']}")
            elif use["id"] in above:
                continue
            elif use["is_glob"]:
                self.module(path, target["inner"]["module"], (*above, use["id"]))
            else:
                self.walk(path, target, use["name"], (*above, use["id"]))


def main():
    document = json.load(open(sys.argv[1], encoding="utf-8"))
    if document["format_version"] not in KNOWN_FORMATS:
        sys.exit(f"rustdoc writes JSON of format {document['format_version']}, which this script does not know")
    listing = Listing(document)
    root = listing.item(document["root"])
    listing.module(root["name"], root["inner"]["module"], ())
    print("\n".join(sorted(listing.lines)))


main()
