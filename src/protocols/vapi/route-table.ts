import type { Binding, Form } from "./bindings.ts";
import { malformed } from "./codecs/utf8.ts";
import type { Dialect } from "./dialects.ts";
import { BindingError, type Route, templateOf } from "./operation-options.ts";
import { type Query, QueryReader } from "./query.ts";
import type { TreeObject } from "./tree.ts";

/** One operation at one place. */
export interface Target {
  readonly binding: Binding;
  /** In the notation of the dialect. */
  readonly form: Form;
  readonly route: Route;
  /** Request fields named by the path, outermost first. */
  readonly variables: readonly string[];
}

/** What a path leads to: by HTTP method, then by action, those that a query parameter selects first. */
export interface Place {
  readonly dialect: Dialect;
  /** That of the dialect's prefixes by which the place is reached. */
  readonly prefix: string;
  /** Finds the action in the query string. */
  readonly queries: QueryReader;
  readonly targets: ReadonlyMap<string, ReadonlyMap<string | undefined, readonly Target[]>>;
  /** Values of the path variables, decoded, in the order of `Target.variables`. */
  readonly values: readonly string[];
}

interface Node {
  readonly literals: Map<string, Node>;
  /** Segments such as `id:{field}`, by what comes before the variable. */
  readonly variables: Map<string, Node>;
  /** Without values. */
  place: (Omit<Place, "targets"> & { readonly targets: Map<string, Map<string, Target[]>> }) | undefined;
}

/** Finds the operation of a path. Built once from the bindings; a clash of two routes refuses to start. */
export class RouteTable {
  readonly #root = newNode();
  /** The nodes that literal segments alone lead to, by their paths: shortcuts, as a walk goes by them anyway. */
  readonly #byPath = new Map([["", this.#root]]);
  readonly #queries = new Map<Dialect, QueryReader>();

  add(binding: Binding, dialect: Dialect): void {
    for (const route of binding.routes[dialect.routes]) {
      for (const prefix of dialect.prefixes) this.#add(prefix, route, binding, dialect);
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
    const { dialect, prefix, queries, targets } = node.place;
    return { dialect, prefix, queries, targets, values };
  }

  #add(prefix: string, route: Route, binding: Binding, dialect: Dialect): void {
    const before = prefix.split("/").slice(1);
    const segments = [...before.map((literal) => ({ literal, variable: undefined })), ...route.segments];
    let node = this.#root;
    let literalPath: string | undefined = "";
    for (const { literal, variable } of segments) {
      const children: Map<string, Node> = variable === undefined ? node.literals : node.variables;
      const child: Node = children.get(literal) ?? newNode();
      children.set(literal, child);
      node = child;
      literalPath =
        variable === undefined && literalPath !== undefined ? `${literalPath}/${literal}` : undefined;
      if (literalPath !== undefined) this.#byPath.set(literalPath, node);
    }
    const queries = this.#queries.get(dialect) ?? new QueryReader(dialect);
    this.#queries.set(dialect, queries);
    queries.prepareAction(route.action);
    node.place ??= { dialect, prefix, queries, targets: new Map(), values: [] };
    const clash = (other: string) =>
      new BindingError(
        `${route.method} ${prefix}${templateOf(route)} with action '${route.action}' leads to ${binding.name} and to ${other}`,
      );
    if (node.place.dialect !== dialect) throw clash("another dialect");
    if (node.place.prefix !== prefix) throw clash(`what is below '${node.place.prefix}'`);
    const actions = node.place.targets.get(route.method) ?? new Map<string, Target[]>();
    node.place.targets.set(route.method, actions);
    const targets = actions.get(route.action) ?? [];
    actions.set(route.action, targets);
    const other = targets.find((target) => target.route.dispatch === route.dispatch);
    if (other !== undefined) throw clash(other.binding.name);
    const variables = route.segments.flatMap(({ variable }) => variable ?? []);
    const target = { binding, form: binding.formIn(dialect.notation), route, variables };
    if (route.dispatch === undefined) targets.push(target);
    else targets.unshift(target);
  }
}

/** The operation of a request that came to a place. */
export function targetOf(place: Place, method: string, query: Query): Target | undefined {
  const targets = place.targets.get(method)?.get(query.action);
  if (targets === undefined) return undefined;
  for (const target of targets) {
    const { dispatch } = target.route;
    if (dispatch === undefined || query.members.some(([name]) => name === dispatch)) return target;
  }
  return undefined;
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
  // An id is never empty, and a path that ends in a slash is another path.
  if (raw === "") return undefined;
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
