import {
  type Caller,
  existsFor,
  type FinalState,
  type Finish,
  finish,
  hasRoom,
  isRefusal,
  keepAlive,
  type LeaseTerms,
  type NewSession,
  openSession,
  type Refusal,
  type Renewal,
  reopenSession,
  type Session,
  tooManySessions,
} from "../../src/domain/session.ts";
import type { EndpointType, SessionFile, SessionFiles } from "../../src/domain/session-file-store.ts";
import type { Heartbeat, SessionStore } from "../../src/domain/session-store.ts";
import { callerNamed } from "../support/callers.ts";

/** Sessions and their files, by session id. */
export class ModelData {
  readonly sessions = new Map<string, Session>();
  readonly files = new Map<string, Map<string, SessionFile>>();
}

const anybody: Caller = callerNamed("", "admin");

/**
 * The rules and some maps: what real stores are compared with. Instances that share the data are replicas. A call is
 * done before it returns, so that each is atomic.
 */
export class ModelSessionStore implements SessionStore {
  readonly #terms: LeaseTerms;
  readonly #clock: { now(): number };
  readonly #sessions: ModelData["sessions"];
  readonly #files: ModelData["files"];

  constructor(terms: LeaseTerms, clock: { now(): number }, { sessions, files }: ModelData) {
    this.#terms = terms;
    this.#clock = clock;
    this.#sessions = sessions;
    this.#files = files;
  }

  async create(spec: NewSession): Promise<Session> {
    const now = this.#clock.now();
    const existing = this.#sessions.get(spec.id);
    if (existing !== undefined && now < existing.expiresAt) {
      return this.#put(reopenSession(existing, now, this.#terms));
    }
    // A map keeps the place of a key that it has already.
    this.#sessions.delete(spec.id);
    this.#files.delete(spec.id);
    const held = [...this.#sessions.values()].filter(
      ({ owner, expiresAt }) => owner === spec.owner && now < expiresAt,
    );
    if (!hasRoom(held.length, this.#terms)) throw tooManySessions(this.#terms);
    return this.#put(openSession(spec, now, this.#terms));
  }

  async get(id: string, caller: Caller): Promise<Session | undefined> {
    return this.#find(id, caller);
  }

  async list(owner: string, libraryItemId?: string): Promise<string[]> {
    const own = callerNamed(owner);
    return [...this.#sessions.values()]
      .filter((session) => existsFor(session, own, this.#clock.now()))
      .filter((session) => libraryItemId === undefined || session.libraryItemId === libraryItemId)
      .map(({ id }) => id);
  }

  async keepAlive(id: string, caller: Caller, progress?: number): Promise<Renewal | Refusal> {
    const session = this.#find(id, caller);
    if (session === undefined) return { outcome: "not_found" };
    const renewed = keepAlive(session, progress, this.#clock.now(), this.#terms);
    if (isRefusal(renewed)) return renewed;
    this.#put(renewed);
    return { outcome: "renewed", expiresAt: renewed.expiresAt, progress: renewed.progress };
  }

  keepAliveMany(heartbeats: readonly Heartbeat[], caller: Caller): Promise<(Renewal | Refusal)[]> {
    return Promise.all(heartbeats.map(({ id, progress }) => this.keepAlive(id, caller, progress)));
  }

  async finish(
    id: string,
    caller: Caller,
    state: FinalState,
    errorMessage?: string,
  ): Promise<Finish | Refusal> {
    const session = this.#find(id, caller);
    if (session === undefined) return { outcome: "not_found" };
    const finished = finish(session, state, errorMessage, this.#clock.now(), this.#terms);
    if (isRefusal(finished)) return finished;
    this.#put(finished);
    return { outcome: "finished", expiresAt: finished.expiresAt };
  }

  async delete(id: string, caller: Caller): Promise<boolean> {
    if (this.#find(id, caller) === undefined) return false;
    this.#files.delete(id);
    return this.#sessions.delete(id);
  }

  async files(id: string, caller: Caller): Promise<SessionFiles | undefined> {
    const session = this.#find(id, caller);
    return session && { session, files: new Map(this.#files.get(id)) };
  }

  async request(
    id: string,
    caller: Caller,
    fileName: string,
    requested: EndpointType,
  ): Promise<Renewal | Refusal> {
    const renewal = await this.keepAlive(id, caller);
    if (renewal.outcome === "renewed") this.#change(id, fileName, (file) => ({ ...file, requested }));
    return renewal;
  }

  async recordSent(id: string, sent: ReadonlyMap<string, number>): Promise<Renewal | Refusal> {
    const renewal = await this.keepAlive(id, anybody);
    if (renewal.outcome !== "renewed") return renewal;
    for (const [name, bytes] of sent) {
      this.#change(id, name, (file) => ({
        ...file,
        bytesSent: Math.min(file.bytesSent + bytes, Number.MAX_SAFE_INTEGER),
      }));
    }
    return renewal;
  }

  #find(id: string, caller: Caller): Session | undefined {
    const session = this.#sessions.get(id);
    return session !== undefined && existsFor(session, caller, this.#clock.now()) ? session : undefined;
  }

  #change(id: string, name: string, change: (file: SessionFile) => SessionFile): void {
    const files = this.#files.get(id) ?? new Map<string, SessionFile>();
    this.#files.set(id, files.set(name, change(files.get(name) ?? { bytesSent: 0 })));
  }

  #put(session: Session): Session {
    this.#sessions.set(session.id, session);
    return session;
  }
}
