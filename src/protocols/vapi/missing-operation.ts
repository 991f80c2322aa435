import { closest } from "../../domain/closest.ts";
import { ServiceError } from "../../domain/errors.ts";
import { dialects } from "./dialects.ts";
import type { Query } from "./query.ts";
import type { RouteMatch } from "./route-table.ts";

/** `action` and `~action`: a caller may have sent that of another dialect. */
const actionParameters = dialects.map(({ actionParameter }) => actionParameter);

/**
 * The error for a request that leads to no operation. It names the action that was sent, and the one that was probably
 * meant; the rest of the query, which may hold secrets, is never part of it.
 *
 * @param match what the path matches, and the query; undefined when it matches nothing
 */
export function missingOperation(
  method: string,
  path: string,
  match: { readonly route: RouteMatch; readonly query: Query } | undefined,
): ServiceError {
  const args = [method, shorten(path)];
  const sent = match && sentAction(match.route, match.query);
  if (sent !== undefined) {
    const [parameter, action] = sent.map(shorten) as [string, string];
    args.push(` with ${parameter}=${action} (${hintFor(action, method, match!.route)})`);
  }
  return new ServiceError("downlease.operation.not_found", args);
}

/** Shortens a text that a stranger has sent, for an error message. */
export function shorten(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function sentAction(
  { dialect }: RouteMatch,
  query: Query,
): readonly [name: string, value: string] | undefined {
  const { action, members } = query;
  return action
    ? [dialect.actionParameter, action]
    : members.find(([name]) => actionParameters.includes(name));
}

function hintFor(action: string, method: string, { dialect, endpoints }: RouteMatch): string {
  const { actionParameter: parameter } = dialect;
  const actionsOf = (candidate: string) =>
    [...(endpoints.get(candidate)?.keys() ?? [])].flatMap((name) => name || []);
  const methods = [method, ...[...endpoints.keys()].filter((other) => other !== method)];
  for (const candidate of methods) {
    const meant = closest(action.toLowerCase(), actionsOf(candidate));
    if (meant === undefined) continue;
    return `did you mean ${candidate === method ? "" : `${candidate} with `}${parameter}=${meant}?`;
  }
  const actions = actionsOf(method).map((name) => `${parameter}=${name}`);
  return actions.length === 0 ? "it has no actions" : `it has ${new Intl.ListFormat("en").format(actions)}`;
}
