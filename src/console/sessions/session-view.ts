import { DownloadSessionModel_State as State } from "../../../gen/content/library/item/v1/download_session_pb.ts";
import type { WatchedSession } from "./watched-session.ts";

export const sortKeys = [
  "owner",
  "item",
  "state",
  "progress",
  "bytes",
  "rate",
  "expires",
  "created",
] as const;
export type SortKey = (typeof sortKeys)[number];

/** What is shown, and in which order; all of it is in the address of the page. */
export interface ListView {
  /** Shown are sessions whose owner, item, id or address has this text. */
  readonly search: string;
  readonly state: State | undefined;
  readonly sort: SortKey;
  readonly isDescending: boolean;
}

export const stateNames: Readonly<Record<State, string>> = {
  [State.UNSPECIFIED]: "",
  [State.ACTIVE]: "ACTIVE",
  [State.CANCELED]: "CANCELED",
  [State.ERROR]: "ERROR",
};

export function readListView(params: URLSearchParams): ListView {
  const stateName = params.get("state");
  const sort = params.get("sort")?.replace(/^-/, "");
  return {
    search: params.get("search") ?? "",
    state: [State.ACTIVE, State.CANCELED, State.ERROR].find((state) => stateNames[state] === stateName),
    sort: sortKeys.find((key) => key === sort) ?? "created",
    isDescending: params.get("sort") === null || params.get("sort")!.startsWith("-"),
  };
}

/** All sessions, newest first. */
export const wholeList = readListView(new URLSearchParams());

/** What differs from it. */
export function writeListView({ search, state, sort, isDescending }: ListView): Record<string, string> {
  const order = `${isDescending ? "-" : ""}${sort}`;
  return {
    ...(search !== "" && { search }),
    ...(state !== undefined && { state: stateNames[state] }),
    ...(order !== "-created" && { sort: order }),
  };
}

const keys: Readonly<Record<SortKey, (session: WatchedSession) => number | string>> = {
  owner: ({ info }) => info.owner,
  item: ({ info }) => info.libraryItemName ?? info.libraryItemId,
  state: ({ info }) => info.state,
  progress: ({ info }) => Number(info.progress),
  bytes: ({ info }) => Number(info.bytesSent),
  rate: ({ rate }) => rate,
  expires: ({ expiresMs }) => expiresMs,
  created: ({ createdMs }) => createdMs,
};

/** Whether a session is shown. */
export function matcher({ search, state }: ListView): (session: WatchedSession) => boolean {
  const text = search.toLowerCase();
  return ({ info }) =>
    (state === undefined || info.state === state) &&
    (text === "" ||
      [info.owner, info.libraryItemName, info.libraryItemId, info.id, info.clientAddress].some((each) =>
        each?.toLowerCase().includes(text),
      ));
}

type Key = number | string;

/** The order of sessions; those with equal keys are in the order of their ids, so that rows do not jump. */
export class Order {
  readonly #key: (session: WatchedSession) => Key;
  readonly #direction: 1 | -1;

  constructor({ sort, isDescending }: ListView) {
    this.#key = keys[sort];
    this.#direction = isDescending ? -1 : 1;
  }

  /** The sessions in order; the key of each is taken once. */
  sort(sessions: Iterable<WatchedSession>): WatchedSession[] {
    return Array.from(sessions, (session) => ({ session, key: this.#key(session) }))
      .sort((a, b) => this.#compare(a.key, a.session, b.key, b.session))
      .map(({ session }) => session);
  }

  /** Where a session is, or would be, in a list that is in order; by bisection. @param from index to begin with */
  indexIn(list: readonly WatchedSession[], session: WatchedSession, from: number): number {
    const key = this.#key(session);
    let [low, high] = [from, list.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = list[middle]!;
      if (this.#compare(this.#key(other), other, key, session) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #compare(keyA: Key, a: WatchedSession, keyB: Key, b: WatchedSession): number {
    if (keyA !== keyB) return keyA < keyB ? -this.#direction : this.#direction;
    return a.info.id < b.info.id ? -1 : a.info.id > b.info.id ? 1 : 0;
  }
}

/** The sessions that a view shows, in its order. */
export function arrange(sessions: Iterable<WatchedSession>, view: ListView): WatchedSession[] {
  return new Order(view).sort([...sessions].filter(matcher(view)));
}

/** Seconds until all bytes are sent at the present rate; undefined when nothing moves. */
export function secondsLeft({ info, rate }: WatchedSession): number | undefined {
  const { bytesTotal, bytesSent } = info;
  if (bytesTotal === undefined || rate < 1 || bytesSent >= bytesTotal) return undefined;
  return Math.ceil(Number(bytesTotal - bytesSent) / rate);
}
