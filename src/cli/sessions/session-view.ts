import { Code, ConnectError } from "@connectrpc/connect";
import {
  type FileInfo,
  FileInfo_PrepareStatus as PrepareStatus,
} from "../../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import {
  type DownloadSessionModel,
  DownloadSessionModel_State as SessionState,
} from "../../../gen/content/library/item/v1/download_session_pb.ts";
import { callForEach } from "../../client/call-for-each.ts";
import { enumName } from "../../client/enum-name.ts";
import { momentOf, percentOf } from "../../client/numbers.ts";
import { required } from "../answers.ts";
import { ItemNames } from "../item-names.ts";
import type { Task } from "../run.ts";
import { ServerClock } from "./server-clock.ts";

/** A session with everything that is shown of it. */
export interface SessionView {
  readonly id: string;
  readonly itemId: string;
  /** `library/item`, or the identifier if the look-up fails. */
  readonly item: string;
  readonly contentVersion: string;
  readonly state: string;
  /** 0 to 100. */
  readonly progress: number;
  readonly expiresAt: Date | undefined;
  readonly expiresInMs: number;
  readonly error: string | undefined;
  /** Of the files, when they were read: bytes that were sent, and of all files. */
  readonly bytes?: { readonly sent: number; readonly total: number };
}

/** Which sessions are listed. */
export interface SessionFilter {
  readonly itemId?: string | undefined;
  readonly state?: string | undefined;
  /** Only this many, the newest ones. */
  readonly limit?: number | undefined;
  /** Whether the files of sessions that are ACTIVE are read, for the bytes. That does not renew their leases. */
  readonly withBytes?: boolean | undefined;
}

export interface SessionFileView {
  readonly name: string;
  /** Bytes. */
  readonly size: number | undefined;
  readonly bytesTransferred: number;
  readonly status: string;
  readonly error: string | undefined;
}

/** Lists of files that are read at the same time: each may be large. */
const maxParallelLists = 4;

function newest<T>(oldestFirst: readonly T[], limit: number | undefined): readonly T[] {
  return limit === undefined ? oldestFirst : oldestFirst.slice(-limit);
}

/** Reads sessions with the names of their items and the time that is left. */
export class SessionReader {
  readonly #task: Pick<Task, "server" | "call">;
  readonly #names: ItemNames;
  readonly #clock = new ServerClock();

  constructor(task: Pick<Task, "server" | "call">) {
    this.#task = task;
    this.#names = new ItemNames(task);
  }

  /** Oldest first. Sessions that end in the meantime are left out. */
  async list({ itemId, state, limit, withBytes }: SessionFilter = {}): Promise<SessionView[]> {
    const { server, call } = this.#task;
    const request = itemId === undefined ? {} : { libraryItemId: itemId };
    const { downloadSessionIds } = await server.sessions.list(request, call);
    // Without a state the identifiers are enough to know which ones are wanted.
    const ids = state === undefined ? newest(downloadSessionIds, limit) : downloadSessionIds;
    const views = (await callForEach(ids, (id) => this.find(id))).filter(
      (view) => view !== undefined && (state === undefined || view.state === state),
    ) as SessionView[];
    const listed = [...newest(views, limit)];
    return withBytes ? callForEach(listed, (view) => this.#withBytes(view), maxParallelLists) : listed;
  }

  /** A session that is not ACTIVE sends nothing. */
  async #withBytes(view: SessionView): Promise<SessionView> {
    if (view.state !== "ACTIVE") return view;
    const files = await this.files(view.id).catch((error) => {
      if (error instanceof ConnectError && error.code === Code.NotFound) return undefined;
      throw error;
    });
    if (files === undefined) return view;
    const sum = (of: (file: SessionFileView) => number) => files.reduce((total, file) => total + of(file), 0);
    return {
      ...view,
      bytes: { sent: sum((file) => file.bytesTransferred), total: sum(({ size = 0 }) => size) },
    };
  }

  /** Undefined if there is no such session. */
  async find(id: string): Promise<SessionView | undefined> {
    try {
      return await this.get(id);
    } catch (error) {
      if (error instanceof ConnectError && error.code === Code.NotFound) return undefined;
      throw error;
    }
  }

  async get(id: string): Promise<SessionView> {
    const { server, call } = this.#task;
    const onHeader = (headers: Headers) => this.#clock.set(headers.get("date"));
    const { downloadSession } = await server.sessions.get({ downloadSessionId: id }, { ...call, onHeader });
    return this.#view(id, required(downloadSession, "download_session"));
  }

  /** Undefined if the server does not implement the file service. */
  async files(id: string): Promise<SessionFileView[] | undefined> {
    const { server, call } = this.#task;
    try {
      const { files } = await server.files.inspect({ downloadSessionId: id }, call);
      return files.map(fileView);
    } catch (error) {
      if (error instanceof ConnectError && error.code === Code.Unimplemented) return undefined;
      throw error;
    }
  }

  async #view(id: string, session: DownloadSessionModel): Promise<SessionView> {
    const itemId = session.libraryItemId ?? "";
    const expiresAt = momentOf(session.expirationTime);
    return {
      id,
      itemId,
      item: await this.#names.of(itemId),
      contentVersion: session.libraryItemContentVersion ?? "",
      state: enumName(SessionState, session.state),
      progress: percentOf(session.clientProgress),
      expiresAt,
      expiresInMs: expiresAt === undefined ? 0 : this.#clock.until(expiresAt),
      error: session.errorMessage?.defaultMessage,
    };
  }
}

function fileView({ name, size, bytesTransferred, status, errorMessage }: FileInfo): SessionFileView {
  return {
    name,
    size: size === undefined ? undefined : Number(size),
    bytesTransferred: Number(bytesTransferred),
    status: enumName(PrepareStatus, status),
    error: errorMessage?.defaultMessage,
  };
}

/** The object that `--json` prints, with the member names of the server. */
export function sessionJson(view: SessionView, files?: readonly SessionFileView[]) {
  return {
    id: view.id,
    library_item_id: view.itemId,
    library_item_content_version: view.contentVersion,
    state: view.state,
    client_progress: view.progress,
    expiration_time: view.expiresAt?.toISOString(),
    error_message: view.error,
    bytes_transferred: view.bytes?.sent,
    size: view.bytes?.total,
    files: files?.map(({ name, size, bytesTransferred, status, error }) => ({
      name,
      size,
      bytes_transferred: bytesTransferred,
      status,
      error_message: error,
    })),
  };
}
