import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  Ending,
  type EndSessionsReportSchema,
  type EndSessionsRequest,
} from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { type ErrorKind, errorKinds, ServiceError } from "../../domain/errors.ts";
import { cursorIn, pageToken } from "../../domain/page-token.ts";
import { type Caller, type FinalState, keptErrorMessage } from "../../domain/session.ts";
import type { SessionRecord, SessionRecordStore } from "../../domain/session-record-store.ts";
import type { SessionStore } from "../../domain/session-store.ts";
import { Turns } from "../../domain/turns.ts";
import { identifier } from "../arguments.ts";
import { refusalError } from "../download-session.ts";
import { admitsAll, matcherOf, type SessionFilter, sessionFilter } from "./session-filter.ts";

/** Sessions that one request may name. */
export const maxIds = 1_000;
/** A call that has looked at so many matching sessions, or has taken so long, leaves the others to the next one. */
const maxMatching = 1_000;
const maxMs = 1_000;
const pageLength = 250;
/** Sessions that are ended together: keep-alives are served between two groups. */
const groupLength = 4;
/** Ids that the report names of each kind of refusal. */
const maxRefusedIds = 10;

/** How sessions are ended; "" stands for deletion. */
interface Way {
  readonly state: FinalState | "";
  readonly errorMessage?: string;
}

/** What a request asks for. */
interface Order {
  readonly way: Way;
  readonly isDryRun: boolean;
  readonly ids: readonly string[];
  /** Counts when no ids are named. */
  readonly filter: SessionFilter;
}

type Report = MessageInitShape<typeof EndSessionsReportSchema>;

export interface SessionEndingsParts {
  readonly sessions: Pick<SessionStore, "finish" | "delete">;
  readonly records: Pick<SessionRecordStore, "page" | "find">;
}

/** Ends sessions as their owners do, one by one, in groups of which one runs at a time. */
export class SessionEndings {
  readonly #sessions: SessionEndingsParts["sessions"];
  readonly #records: SessionEndingsParts["records"];
  readonly #turns = new Turns();

  constructor({ sessions, records }: SessionEndingsParts) {
    this.#sessions = sessions;
    this.#records = records;
  }

  /** @throws ServiceError; what was ended before stays so, and the same call may be repeated */
  async run(request: EndSessionsRequest, caller: Caller): Promise<Report> {
    const order = orderOf(request);
    const tally = new Tally();
    const { ids, way, isDryRun, filter } = order;
    if (ids.length > 0) {
      if (isDryRun) judge(ids, await this.#records.find(ids), way, tally);
      else await this.#end(ids, way, caller, tally);
      return tally.report;
    }
    const { pageToken: token } = request;
    const endsAt = performance.now() + maxMs;
    let cursor = token === undefined ? undefined : cursorIn(token, order);
    do {
      const page: Awaited<ReturnType<SessionRecordStore["page"]>> = await this.#records.page({
        cursor,
        owner: filter.owner,
        matches: matcherOf(filter),
        maxSessions: pageLength,
      });
      const matching = page.sessions.map(({ id }) => id);
      if (isDryRun) judge(matching, page.sessions, way, tally);
      else await this.#end(matching, way, caller, tally);
      cursor = page.cursor;
    } while (cursor !== undefined && tally.count < maxMatching && performance.now() < endsAt);
    return { ...tally.report, ...(cursor !== undefined && { nextPageToken: pageToken(order, cursor) }) };
  }

  async #end(ids: readonly string[], way: Way, caller: Caller, tally: Tally): Promise<void> {
    for (let start = 0; start < ids.length; start += groupLength) {
      const group = ids.slice(start, start + groupLength);
      const refusals = await this.#turns.run(() =>
        Promise.all(group.map((id) => this.#endOne(id, way, caller))),
      );
      for (const [index, refusal] of refusals.entries()) tally.add(group[index]!, refusal);
    }
  }

  /** Why it was not ended; undefined if it was. */
  async #endOne(id: string, { state, errorMessage }: Way, caller: Caller): Promise<ErrorKind | undefined> {
    if (state === "") return (await this.#sessions.delete(id, caller)) ? undefined : "not_found";
    const result = await this.#sessions.finish(id, caller, state, errorMessage);
    return result.outcome === "finished" ? undefined : refusalError(id, result).kind;
  }
}

/** Counts what would be ended. */
function judge(
  ids: readonly string[],
  sessions: readonly (SessionRecord | undefined)[],
  way: Way,
  tally: Tally,
): void {
  for (const [index, id] of ids.entries()) {
    const session = sessions[index];
    const isRefused = session !== undefined && way.state !== "" && session.state !== "ACTIVE";
    const refusal = session === undefined ? "not_found" : "not_allowed_in_current_state";
    tally.add(id, session === undefined || isRefused ? refusal : undefined);
  }
}

/** Counts what has become of sessions. */
class Tally {
  /** Ended ones and refused ones. */
  count = 0;
  #ended = 0;
  readonly #refusals = new Map<ErrorKind, { count: number; readonly ids: string[] }>();

  add(id: string, refusal: ErrorKind | undefined): void {
    this.count++;
    if (refusal === undefined) {
      this.#ended++;
      return;
    }
    const same = this.#refusals.get(refusal) ?? { count: 0, ids: [] };
    same.count++;
    if (same.ids.length < maxRefusedIds) same.ids.push(id);
    this.#refusals.set(refusal, same);
  }

  get report(): Report {
    const refusals = [...this.#refusals].map(([kind, { count, ids }]) => ({
      error: errorKinds[kind].vapi,
      count: BigInt(count),
      ids,
    }));
    return { ended: BigInt(this.#ended), refusals };
  }
}

/** @throws ServiceError `invalid_argument` */
function orderOf(request: EndSessionsRequest): Order {
  const { ids, all = false, dryRun: isDryRun = false } = request;
  const way = wayOf(request);
  const filter = sessionFilter(request);
  const choices = [ids.length > 0, !admitsAll(filter), all].filter(Boolean).length;
  const isChoice = choices === 1 && (ids.length === 0 || request.pageToken === undefined);
  if (!isChoice) throw new ServiceError("downlease.admin.end_choice");
  if (ids.length > maxIds) {
    throw new ServiceError("downlease.argument.too_many", ["ids", `${ids.length}`, `${maxIds}`]);
  }
  const named = [...new Set(ids.map((id) => identifier(id, "ids")))];
  // Without a word about states, sessions are meant that can be ended so.
  const states = filter.states ?? (way.state === "" ? undefined : (["ACTIVE"] as const));
  return { way, isDryRun, ids: named, filter: { ...filter, states } };
}

/** @throws ServiceError `invalid_argument` */
function wayOf({ ending, errorMessage }: EndSessionsRequest): Way {
  if (ending === Ending.FAIL) {
    if (!errorMessage) throw new ServiceError("downlease.argument.missing", ["error_message"]);
    return { state: "ERROR", errorMessage: keptErrorMessage(errorMessage) };
  }
  if (errorMessage !== undefined) {
    throw new ServiceError("downlease.argument.type", ["error_message", "left out unless 'ending' is FAIL"]);
  }
  switch (ending) {
    case Ending.CANCEL:
      return { state: "CANCELED" };
    case Ending.DELETE:
      return { state: "" };
    case Ending.UNSPECIFIED:
      throw new ServiceError("downlease.argument.missing", ["ending"]);
    default:
      throw new ServiceError("downlease.argument.type", ["ending", "CANCEL, FAIL or DELETE"]);
  }
}
