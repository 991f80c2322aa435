import type { Binding, MessageMapping } from "./bindings.ts";
import { decodePercent } from "./codecs/utf8.ts";
import type { Dialect } from "./dialects.ts";
import { BindingError, type Route, type Segment, templateOf } from "./operation-options.ts";
import { type Query, QueryReader } from "./query.ts";
import type { TreeObject } from "./tree.ts";

/** One operation at one route of one dialect. */
export interface Endpoint {
  readonly binding: Binding;
  /** In the notation of the dialect. */
  readonly mapping: MessageMapping;
  readonly route: Route;
  /** Request fields named by the path, outermost first. */
  readonly variables: readonly string[];
}

/** What a path matches. */
export interface RouteMatch {
  readonly dialect: Dialect;
  /** The dialect's prefix that the path begins with. */
  readonly prefix: string;
  /** Finds the action in the query string. */
  readonly queries: QueryReader;
  /** By HTTP method, then by action; endpoints that a query parameter selects come first. */
  readonly endpoints: ReadonlyMap<string, ReadonlyMap<string | undefined, readonly Endpoint[]>>;
  /** Values of the path variables, decoded, in the order of `Endpoint.variables`. */
  readonly values: readonly string[];
}

interface Node {
  readonly literals: Map<string, Node>;
  /** Segments such as `id:{field}`, by the literal before the variable. */
  readonly variables: Map<string, Node>;
  /** Without path values. */
  match:
    | (Omit<RouteMatch, "endpoints"> & { readonly endpoints: Map<string, Map<string, Endpoint[]>> })
    | undefined;
}

/** Matches REST paths to operations. Built once from the bindings; two routes that clash fail the start. */
export class RouteTable {
  readonly #root = newNode();
  /** The nodes that only literal segments lead to, by path: a shortcut, because a walk prefers literals anyway. */
  readonly #byPath = new Map([["", this.#root]]);
  readonly #queries = new Map<Dialect, QueryReader>();

  add(binding: Binding, dialect: Dialect): void {
    for (const prefix of dialect.prefixes) {
      for (const route of binding.routes[dialect.routes]) this.#add(prefix, route, binding, dialect);
      // The name of a service is never an id.
      this.#descend(literals(prefix + dialect.pathOf(binding.serviceId)));
    }
  }

  /**
   * Looks up a raw path. It is split first and decoded afterwards, so an id may contain `%2F`.
   *
   * @throws ServiceError `invalid_request` when the percent-encoding is broken
   */
  find(path: string): RouteMatch | undefined {
    const literal = this.#byPath.get(path);
    if (literal !== undefined) return literal.match;
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
    if (node.match === undefined || values.length === 0) return node.match;
    const { dialect, prefix, queries, endpoints } = node.match;
    return { dialect, prefix, queries, endpoints, values };
  }

  /** The node at the end of a path; created if there is none. */
  #descend(segments: readonly Segment[]): Node {
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
    return node;
  }

  #add(prefix: string, route: Route, binding: Binding, dialect: Dialect): void {
    const node = this.#descend([...literals(prefix), ...route.segments]);
    const queries = this.#queries.get(dialect) ?? new QueryReader(dialect);
    this.#queries.set(dialect, queries);
    queries.prepareAction(route.action);
    node.match ??= { dialect, prefix, queries, endpoints: new Map(), values: [] };
    const clash = (other: string) =>
      new BindingError(
        `${route.method} ${prefix}${templateOf(route)} with action '${route.action}' leads to ${binding.name} and to ${other}`,
      );
    if (node.match.dialect !== dialect) throw clash("another dialect");
    if (node.match.prefix !== prefix) throw clash(`a route below '${node.match.prefix}'`);
    const actions = node.match.endpoints.get(route.method) ?? new Map<string, Endpoint[]>();
    node.match.endpoints.set(route.method, actions);
    const endpoints = actions.get(route.action) ?? [];
    actions.set(route.action, endpoints);
    const other = endpoints.find((endpoint) => endpoint.route.dispatch === route.dispatch);
    if (other !== undefined) throw clash(other.binding.name);
    const variables = route.segments.flatMap(({ variable }) => variable ?? []);
    const endpoint = { binding, mapping: binding.mappingFor(dialect.notation), route, variables };
    if (route.dispatch === undefined) endpoints.push(endpoint);
    else endpoints.unshift(endpoint);
  }
}

/** The endpoint that serves a request whose path has matched. */
export function endpointOf(match: RouteMatch, method: string, query: Query): Endpoint | undefined {
  const endpoints = match.endpoints.get(method)?.get(query.action);
  if (endpoints === undefined) return undefined;
  for (const endpoint of endpoints) {
    const { dispatch } = endpoint.route;
    if (dispatch !== undefined && !query.members.some(([name]) => name === dispatch)) continue;
    return query.members.length > 0 && isContradicted(endpoint, match, query) ? undefined : endpoint;
  }
  return undefined;
}

/**
 * Whether the query gives another id than the last segment of the path. A segment that is nothing but an id is then
 * meant as a name: `/content/library/subscribed-item?library_id=demo` is no library.
 */
function isContradicted({ route }: Endpoint, { values }: RouteMatch, query: Query): boolean {
  const { literal, variable } = route.segments.at(-1)!;
  if (variable === undefined || literal !== "") return false;
  return query.members.some(([name, value]) => name === variable && value !== values.at(-1));
}

/** The values of the path variables as a tree. */
export function pathMembers({ variables }: Endpoint, { values }: RouteMatch): TreeObject {
  const members: { [name: string]: string } = {};
  for (let index = 0; index < values.length; index++) {
    members[variables[index]!] = values[index]!;
  }
  return members;
}

function step(node: Node, raw: string, values: string[]): Node | undefined {
  const literal = node.literals.get(raw);
  if (literal !== undefined) return literal;
  // An id is never empty: a path with a trailing slash is a different path.
  if (raw === "") return undefined;
  const segment = raw.includes("%") ? decodePercent(raw, " in the path") : raw;
  const decoded = node.literals.get(segment);
  if (decoded !== undefined) return decoded;
  for (const [prefix, child] of node.variables) {
    if (!segment.startsWith(prefix)) continue;
    values.push(segment.slice(prefix.length));
    return child;
  }
  return undefined;
}

function literals(path: string): Segment[] {
  const segments = path.split("/").slice(1);
  return segments.map((literal) => ({ literal, variable: undefined }));
}

function newNode(): Node {
  return { literals: new Map(), variables: new Map(), match: undefined };
}
