import type { Backend } from "../domain/backend.ts";
import type { Caller, FinalState, Finish, NewSession, Refusal, Renewal, Session } from "../domain/session.ts";
import type { SessionChange } from "../domain/session-changes.ts";
import type { EndpointType, SessionFileStore, SessionFiles } from "../domain/session-file-store.ts";
import type {
  SessionPageRequest,
  SessionRecord,
  SessionRecordPage,
  SessionRecordStore,
} from "../domain/session-record-store.ts";
import type { Heartbeat, SessionStore } from "../domain/session-store.ts";
import { ChangeRecorder } from "./change-recorder.ts";

/** The backend; while somebody watches, the changes of sessions that this process makes are published. */
export function recordedBackend(backend: Backend): Backend {
  const { logins, preparations, linkKeys, settings, bandwidth, replicas, sessionChanges } = backend;
  const recorder = new ChangeRecorder(sessionChanges);
  return {
    sessions: new RecordedSessions(backend.sessions, recorder),
    sessionFiles: new RecordedFiles(backend.sessionFiles, recorder),
    sessionRecords: new RecordedRecords(backend.sessionRecords, recorder),
    sessionChanges,
    logins,
    preparations,
    linkKeys,
    settings,
    bandwidth,
    replicas,
    watchEnds: (ended, established) => backend.watchEnds(ended, established),
    probe: () => backend.probe(),
    describe: () => backend.describe(),
    async [Symbol.asyncDispose]() {
      await recorder.close();
      await backend[Symbol.asyncDispose]();
    },
  };
}

/** Records what a call has changed. One whose outcome is unknown may have changed something. */
async function recorded<T>(
  recorder: ChangeRecorder,
  id: string,
  call: Promise<T>,
  changeOf: (result: T) => SessionChange | undefined,
): Promise<T> {
  let change: SessionChange | undefined = { id, kind: "touched" };
  try {
    const result = await call;
    change = changeOf(result);
    return result;
  } finally {
    if (change !== undefined) recorder.record(change);
  }
}

const renewalOf = (id: string) => (result: Renewal | Refusal) => {
  if (result.outcome !== "renewed") return undefined;
  const { expiresAt, progress } = result;
  return { id, kind: "renewed", expiresAt, progress } as const;
};

/** While nobody watches, a call costs a comparison and no promise more. */
class RecordedSessions implements SessionStore {
  readonly #store: SessionStore;
  readonly #recorder: ChangeRecorder;

  constructor(store: SessionStore, recorder: ChangeRecorder) {
    this.#store = store;
    this.#recorder = recorder;
  }

  create(spec: NewSession): Promise<Session> {
    const { id } = spec;
    const call = this.#store.create(spec);
    if (!this.#recorder.isWatched) return call;
    return recorded(this.#recorder, id, call, () => ({ id, kind: "created" }));
  }

  get(id: string, caller: Caller): Promise<Session | undefined> {
    return this.#store.get(id, caller);
  }

  list(owner: string, libraryItemId?: string): Promise<string[]> {
    return this.#store.list(owner, libraryItemId);
  }

  keepAlive(id: string, caller: Caller, progress?: number): Promise<Renewal | Refusal> {
    const call = this.#store.keepAlive(id, caller, progress);
    return this.#recorder.isWatched ? recorded(this.#recorder, id, call, renewalOf(id)) : call;
  }

  async keepAliveMany(heartbeats: readonly Heartbeat[], caller: Caller): Promise<(Renewal | Refusal)[]> {
    const results = await this.#store.keepAliveMany(heartbeats, caller);
    if (this.#recorder.isWatched) {
      for (const [index, result] of results.entries()) {
        const change = renewalOf(heartbeats[index]!.id)(result);
        if (change !== undefined) this.#recorder.record(change);
      }
    }
    return results;
  }

  finish(id: string, caller: Caller, state: FinalState, errorMessage?: string): Promise<Finish | Refusal> {
    const call = this.#store.finish(id, caller, state, errorMessage);
    if (!this.#recorder.isWatched) return call;
    return recorded(this.#recorder, id, call, ({ outcome }) =>
      outcome === "finished" ? { id, kind: "ended" } : undefined,
    );
  }

  delete(id: string, caller: Caller): Promise<boolean> {
    const call = this.#store.delete(id, caller);
    if (!this.#recorder.isWatched) return call;
    return recorded(this.#recorder, id, call, (isDeleted) =>
      isDeleted ? { id, kind: "deleted" } : undefined,
    );
  }
}

class RecordedFiles implements SessionFileStore {
  readonly #store: SessionFileStore;
  readonly #recorder: ChangeRecorder;

  constructor(store: SessionFileStore, recorder: ChangeRecorder) {
    this.#store = store;
    this.#recorder = recorder;
  }

  files(id: string, caller: Caller): Promise<SessionFiles | undefined> {
    return this.#store.files(id, caller);
  }

  request(
    id: string,
    caller: Caller,
    fileName: string,
    endpointType: EndpointType,
  ): Promise<Renewal | Refusal> {
    const call = this.#store.request(id, caller, fileName, endpointType);
    return this.#recorder.isWatched ? recorded(this.#recorder, id, call, renewalOf(id)) : call;
  }

  recordSent(id: string, sent: ReadonlyMap<string, number>): Promise<Renewal | Refusal> {
    const call = this.#store.recordSent(id, sent);
    if (!this.#recorder.isWatched) return call;
    return recorded(this.#recorder, id, call, ({ outcome }) =>
      outcome === "renewed" ? { id, kind: "touched" } : undefined,
    );
  }
}

class RecordedRecords implements SessionRecordStore {
  readonly #store: SessionRecordStore;
  readonly #recorder: ChangeRecorder;

  constructor(store: SessionRecordStore, recorder: ChangeRecorder) {
    this.#store = store;
    this.#recorder = recorder;
  }

  page(request: SessionPageRequest): Promise<SessionRecordPage> {
    return this.#store.page(request);
  }

  find(ids: readonly string[]): Promise<(SessionRecord | undefined)[]> {
    return this.#store.find(ids);
  }

  async recordClients(addresses: ReadonlyMap<string, string>): Promise<void> {
    await this.#store.recordClients(addresses);
    if (!this.#recorder.isWatched) return;
    for (const id of addresses.keys()) this.#recorder.record({ id, kind: "touched" });
  }
}
