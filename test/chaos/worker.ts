import { Agent } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { type Answer, download, type SessionClient } from "./clients.ts";
import type { Content } from "./content.ts";
import { now, type Operation } from "./history.ts";
import type { Random } from "./random.ts";

/** A session that a principal's workers know. */
export interface KnownSession {
  readonly id: string;
  readonly owner: string;
  readonly item: string;
  /** Greatest progress that was sent; each keep-alive with a new one has a mark that no other has. */
  progress: number;
  /** When its workers stop caring, so that it ends or expires. */
  readonly leftAt: number;
  readonly links: Map<string, string>;
}

/** Sessions that each principal works on at a time, and those that it only looks at afterwards. */
const liveSessions = 10;
const leftSessions = 60;
const slowBytesPerSecond = 8 * 1024 * 1024;

/** Calls on a session that is alive, by their share. */
const mix = {
  keepAlive: 38,
  get: 22,
  fileGet: 8,
  prepare: 8,
  download: 7,
  list: 4,
  stranger: 4,
  cancel: 2,
  fail: 1.5,
  delete: 1.5,
} as const;

/** Ends early with the signal. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {});
}

export interface WorkerParts {
  readonly number: number;
  readonly principal: string;
  readonly client: SessionClient;
  readonly random: Random;
  record(operation: Operation): void;
  nextMark(): string;
  /** Shared by the workers of the principal, so that they call the same sessions at the same time. */
  readonly live: KnownSession[];
  /** Sessions that other principals work on. */
  ofOthers(): readonly KnownSession[];
  /** Of all principals. */
  readonly left: KnownSession[];
}

type Call = Pick<Operation, "kind" | "session" | "item" | "token" | "progress" | "mark">;

/** Calls the service as one principal by one protocol, a call at a time. */
export class Worker implements Disposable {
  readonly random: Random;
  readonly #content: Content;
  readonly #parts: WorkerParts;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(content: Content, parts: WorkerParts) {
    this.#content = content;
    this.#parts = parts;
    this.random = parts.random;
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
    this.#parts.client[Symbol.dispose]();
  }

  async step(): Promise<void> {
    const { live, left } = this.#parts;
    this.#leaveOld();
    if (live.length < liveSessions && (live.length === 0 || this.random.chance(0.5))) return this.#create();
    if (left.length > 0 && this.random.chance(0.08)) return this.#lookAtLeft(this.random.pick(left));
    await this.#callOn(this.random.pick(live));
  }

  /** Begins a long download and cancels its session after a second; the download is to be cut then. */
  async readAndCancel(until: AbortSignal): Promise<void> {
    const { client } = this.#parts;
    const { items, hugeFile: file } = this.#content;
    const item = this.random.pick(items);
    const { session } = await this.#record({ kind: "create", item }, () => client.create(item, undefined));
    if (session === undefined) return;
    let { link } = await this.#record({ kind: "prepare", session }, () => client.prepare(session, file));
    for (let turn = 0; link === undefined && turn < 20 && !until.aborted; turn++) {
      await pause(200, until);
      ({ link } = await this.#record({ kind: "fileGet", session }, () => client.fileGet(session, file)));
    }
    if (link === undefined) return;
    const source = { link, sha256: this.#content.sha256(item, file), agent: this.#agent };
    const limits = { bytesPerSecond: slowBytesPerSecond, signal: until };
    const reading = this.#record({ kind: "download", session }, () => download({ ...source, ...limits }));
    await pause(1000, until);
    await this.#record({ kind: "cancel", session }, () => client.cancel(session));
    await reading;
  }

  /** Sessions are given up after a while, whatever state they are in; their lease runs out by itself. */
  #leaveOld(): void {
    const { live, left } = this.#parts;
    for (const session of live.filter(({ leftAt }) => now() > leftAt)) {
      live.splice(live.indexOf(session), 1);
      left.push(session);
      if (left.length > leftSessions) left.shift();
    }
  }

  async #create(): Promise<void> {
    const { client, live } = this.#parts;
    const item = this.random.pick(this.#content.items);
    const token = this.random.chance(0.5) ? uuidFrom(this.random) : undefined;
    const call = { kind: "create", item, token } as const;
    // Now and then twice at the same time, as by a client that is impatient.
    const times = token !== undefined && this.random.chance(0.2) ? 2 : 1;
    const create = () => this.#record(call, () => client.create(item, token));
    const answers = await Promise.all(Array.from({ length: times }, create));
    const id = answers.find(({ outcome }) => outcome === "ok")?.session;
    if (id === undefined) return;
    const leftAt = now() + 500 + this.random.below(6000);
    live.push({ id, item, owner: this.#parts.principal, progress: 0, leftAt, links: new Map() });
  }

  async #lookAtLeft(session: KnownSession): Promise<void> {
    const { id, owner, links } = session;
    const [link] = links;
    if (owner === this.#parts.principal && link !== undefined && this.random.chance(0.3)) {
      return this.#download(session, ...link);
    }
    await this.#record({ kind: "get", session: id }, () => this.#parts.client.get(id));
  }

  async #callOn(session: KnownSession): Promise<void> {
    const { client } = this.#parts;
    const { id, links } = session;
    const kind = this.#kind();
    switch (kind) {
      case "keepAlive": {
        const progress = this.#progress(session);
        await this.#record({ kind, session: id, progress }, () => client.keepAlive(id, progress));
        return;
      }
      case "fail": {
        const mark = this.#parts.nextMark();
        await this.#record({ kind, session: id, mark }, () => client.fail(id, mark));
        return;
      }
      case "list":
        await this.#record({ kind }, () => client.list());
        return;
      case "prepare":
      case "fileGet": {
        const file = this.random.pick(this.#content.files);
        const { link } = await this.#record({ kind, session: id }, () => client[kind](id, file));
        if (link !== undefined) links.set(file, link);
        return;
      }
      case "download": {
        const [link] = links.size > 0 ? [this.random.pick([...links])] : [];
        if (link !== undefined) await this.#download(session, ...link);
        return;
      }
      case "stranger": {
        const targets = this.#parts.ofOthers();
        if (targets.length > 0) await this.#intrude(this.random.pick(targets).id);
        return;
      }
      default:
        await this.#record({ kind, session: id }, () => client[kind](id));
    }
  }

  /** Tries to read or change the session of another principal. */
  async #intrude(id: string): Promise<void> {
    const kind = this.random.pick(["get", "cancel", "delete", "keepAlive"] as const);
    await this.#record({ kind, session: id }, () =>
      kind === "keepAlive" ? this.#parts.client.keepAlive(id, 99) : this.#parts.client[kind](id),
    );
  }

  async #download({ id, item }: KnownSession, file: string, link: string): Promise<void> {
    const source = { link, sha256: this.#content.sha256(item, file), agent: this.#agent };
    await this.#record({ kind: "download", session: id }, () => download(source));
  }

  /** One more than any before, none, or one that is late. */
  #progress(session: KnownSession): number | undefined {
    if (this.random.chance(0.2)) return undefined;
    if (session.progress < 100 && this.random.chance(0.6)) return ++session.progress;
    return Math.max(0, session.progress - this.random.below(5));
  }

  #kind(): keyof typeof mix {
    let rest = this.random.fraction() * Object.values(mix).reduce((sum, share) => sum + share, 0);
    for (const [kind, share] of Object.entries(mix)) {
      rest -= share;
      if (rest < 0) return kind as keyof typeof mix;
    }
    return "get";
  }

  async #record(call: Call, send: () => Promise<Answer>): Promise<Answer> {
    const { number: worker, principal, client } = this.#parts;
    const invokedAt = now();
    const answer = await send();
    const { outcome, detail, shown, firstByteAt, endedAt } = answer;
    this.#parts.record({
      ...call,
      session: call.session ?? answer.session,
      worker,
      protocol: call.kind === "download" ? "http" : client.protocol,
      principal,
      invokedAt,
      answeredAt: firstByteAt ?? now(),
      endedAt,
      outcome,
      detail,
      shown,
    });
    return answer;
  }
}

function uuidFrom(random: Random): string {
  const digits = Array.from({ length: 32 }, () => random.below(16).toString(16)).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
