import { ScalarType } from "@bufbuild/protobuf";
import { type Binding, BindingError } from "./bindings.ts";
import { malformed } from "./codecs/utf8.ts";
import type { Dialect } from "./dialects.ts";
import { QueryReader } from "./query.ts";
import type { TreeObject } from "./tree.ts";

/** One operation at one place. */
export interface Target {
  readonly binding: Binding;
  readonly status: number;
  /** Request fields named by the path, outermost first. */
  readonly variables: readonly string[];
}

/** What a path leads to: by HTTP method, then by action. */
export interface Place {
  readonly dialect: Dialect;
  /** Finds the action in the query string. */
  readonly queries: QueryReader;
  readonly targets: ReadonlyMap<string, ReadonlyMap<string, Target>>;
  /** Values of the path variables, decoded, in the order of `Target.variables`. */
  readonly values: readonly string[];
}

interface Node {
  readonly literals: Map<string, Node>;
  /** Segments such as `id:{field}`, by what comes before the variable. */
  readonly variables: Map<string, Node>;
  /** Without values. */
  place: (Omit<Place, "targets"> & { readonly targets: Map<string, Map<string, Target>> }) | undefined;
}

/** Finds the operation of a path. Built once from the bindings; a clash of two routes refuses to start. */
export class RouteTable {
  readonly #root = newNode();
  /** The nodes that literal segments alone lead to, by their paths: shortcuts, as a walk goes by them anyway. */
  readonly #byPath = new Map([["", this.#root]]);
  readonly #queries = new Map<Dialect, QueryReader>();

  add(binding: Binding, dialect: Dialect): void {
    for (const route of binding.routes) {
      for (const prefix of dialect.prefixes) this.#add(prefix + route.path, route, binding, dialect);
    }
  }

  /**
   * Looks up a raw path: it is split first and decoded afterwards, so that an id may contain `%2F`.
   *
   * @throws ServiceError `invalid_request` when the percent-encoding is broken
   */
  find(path: string): Place | undefined {
    const literal = this.#byPath.get(path);
    if (literal !== undefined) return literal.place;
    // Most variables come last.
    const lastSlash = path.lastIndexOf("/");
    const parent = this.#byPath.get(path.slice(0, lastSlash));
    let node: Node | undefined = parent ?? this.#root;
    const values: string[] = [];
    for (let start = parent ? lastSlash + 1 : 1, end: number; start <= path.length; start = end + 1) {
      end = path.indexOf("/", start);
      if (end < 0) end = path.length;
      node = step(node, path.slice(start, end), values);
      if (node === undefined) return undefined;
    }
    if (node.place === undefined || values.length === 0) return node.place;
    const { dialect, queries, targets } = node.place;
    return { dialect, queries, targets, values };
  }

  #add(path: string, route: Binding["routes"][number], binding: Binding, dialect: Dialect): void {
    const variables: string[] = [];
    let node = this.#root;
    let literalPath: string | undefined = "";
    for (const segment of path.slice(1).split("/")) {
      const [, literal = segment, variable] = /^([^{}]*)\{(\w+)\}$/.exec(segment) ?? [];
      if (variable !== undefined) variables.push(variable);
      const children: Map<string, Node> = variable === undefined ? node.literals : node.variables;
      const child: Node = children.get(literal) ?? newNode();
      children.set(literal, child);
      node = child;
      literalPath =
        variable === undefined && literalPath !== undefined ? `${literalPath}/${literal}` : undefined;
      if (literalPath !== undefined) this.#byPath.set(literalPath, node);
    }
    for (const variable of variables) {
      const field = binding.request.desc.fields.find(({ name }) => name === variable);
      if (field?.fieldKind !== "scalar" || field.scalar !== ScalarType.STRING) {
        throw new BindingError(`${path}: ${binding.request.desc} has no string field '${variable}'`);
      }
    }
    const queries = this.#queries.get(dialect) ?? new QueryReader(dialect.actionParameter);
    this.#queries.set(dialect, queries);
    queries.prepareAction(route.action);
    node.place ??= { dialect, queries, targets: new Map(), values: [] };
    const actions = node.place.targets.get(route.method) ?? new Map<string, Target>();
    node.place.targets.set(route.method, actions);
    const other = actions.get(route.action);
    if (other !== undefined || node.place.dialect !== dialect) {
      throw new BindingError(
        `${route.method} ${path} with action '${route.action}' leads to ${binding.name} and to ${other?.binding.name ?? "another dialect"}`,
      );
    }
    actions.set(route.action, { binding, status: route.status, variables });
  }
}

/** The path variables of a target as a tree. */
export function pathMembers(target: Target, place: Place): TreeObject {
  const members: { [name: string]: string } = {};
  for (let index = 0; index < place.values.length; index++) {
    members[target.variables[index]!] = place.values[index]!;
  }
  return members;
}

function step(node: Node, raw: string, values: string[]): Node | undefined {
  const literal = node.literals.get(raw);
  if (literal !== undefined) return literal;
  const segment = raw.includes("%") ? decodeSegment(raw) : raw;
  const decoded = node.literals.get(segment);
  if (decoded !== undefined) return decoded;
  for (const [prefix, child] of node.variables) {
    if (!segment.startsWith(prefix)) continue;
    values.push(segment.slice(prefix.length));
    return child;
  }
  return undefined;
}

function decodeSegment(raw: string): string {
  try {
    return decodeURIComponent(raw);
  } catch {
    throw malformed("a percent-encoding in the path is broken or is not UTF-8");
  }
}

function newNode(): Node {
  return { literals: new Map(), variables: new Map(), place: undefined };
}
