import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import {
  type FileInfo,
  FileService,
  FileInfo_PrepareStatus as PrepareStatus,
} from "../../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import { DownloadSessionService } from "../../../gen/content/library/item/v1/download_session_pb.ts";
import { ChecksumInfo_ChecksumAlgorithm as Algorithm } from "../../../gen/content/library/item/v1/item_file_pb.ts";
import { isPassing } from "../shell/passing.ts";
import { transport } from "../shell/transport.ts";
import { type FileTarget, openTarget } from "./file-target.ts";
import { keepLease, LeaseLostError } from "./lease.ts";
import { whyEnded } from "./why-ended.ts";

export type FileStatus = "waiting" | "preparing" | "downloading" | "verified" | "downloaded" | "failed";

export interface FileProgress {
  readonly name: string;
  readonly size: number;
  readonly bytes: number;
  readonly status: FileStatus;
}

export type DownloadStatus = "running" | "interrupted" | "done" | "failed" | "canceled";

/** A download as it is now; a new object for each change. */
export interface DownloadView {
  readonly status: DownloadStatus;
  readonly sessionId: string | undefined;
  readonly files: readonly FileProgress[];
  /** Why it has failed, or waits, in a sentence. */
  readonly problem: string | undefined;
}

const sessions = createClient(DownloadSessionService, transport);
const fileService = createClient(FileService, transport);

const pollMs = 500;
const maxRetryMs = 5_000;

/**
 * Downloads the files of an item while it holds a session for it. Interruptions, such as a replica that restarts, are
 * survived: the lease goes on, and each file continues where it stopped.
 */
export class ItemDownload {
  /** Names it among those of this page. */
  readonly id = crypto.randomUUID();
  readonly itemId: string;
  readonly itemName: string;
  view: DownloadView;
  readonly #folder: FileSystemDirectoryHandle | undefined;
  readonly #abort = new AbortController();
  readonly #changed: () => void;

  /**
   * @param folder where the files go; undefined: the browser saves them, by link, while the lease is held
   */
  constructor(
    item: { readonly id: string; readonly name: string },
    files: readonly { readonly name: string; readonly size: number }[],
    folder: FileSystemDirectoryHandle | undefined,
    changed: () => void,
  ) {
    this.itemId = item.id;
    this.itemName = item.name;
    this.#folder = folder;
    this.#changed = changed;
    this.view = {
      status: "running",
      sessionId: undefined,
      files: files.map(({ name, size }) => ({ name, size, bytes: 0, status: "waiting" })),
      problem: undefined,
    };
  }

  get isOver(): boolean {
    return this.view.status !== "running" && this.view.status !== "interrupted";
  }

  /** Resolves when it is over; never rejects. */
  async run(): Promise<void> {
    let stopLease = () => {};
    try {
      const id = await this.#create();
      stopLease = keepLease({
        sessions,
        id,
        progress: () => this.#percent(),
        onLost: () => this.#abort.abort(new LeaseLostError()),
      });
      this.#update({ sessionId: id });
      for (const { name } of this.view.files) await this.#downloadFile(id, name);
      await this.#finish(id);
      this.#update({ status: "done", problem: undefined });
    } catch (error) {
      const { status, sessionId } = this.view;
      if (status !== "canceled")
        this.#update({ status: "failed", problem: await messageOf(error, sessionId) });
    } finally {
      stopLease();
    }
  }

  /** Ends the download and its session. */
  cancel(): void {
    if (this.isOver) return;
    const { sessionId } = this.view;
    this.#update({ status: "canceled", problem: undefined });
    this.#abort.abort(new Error("The download was canceled."));
    if (sessionId !== undefined) void sessions.cancel({ downloadSessionId: sessionId }).catch(() => {});
  }

  /** The same client token makes it one session, however often it is asked for. */
  async #create(): Promise<string> {
    const clientToken = crypto.randomUUID();
    const { downloadSessionId } = await this.#persist(() =>
      sessions.create({ clientToken, createSpec: { libraryItemId: this.itemId } }),
    );
    return downloadSessionId;
  }

  async #downloadFile(sessionId: string, name: string): Promise<void> {
    this.#updateFile(name, { status: "preparing" });
    const uri = await this.#prepare(sessionId, name);
    this.#updateFile(name, { status: "downloading" });
    if (this.#folder === undefined) return this.#saveByLink(sessionId, name, uri);
    const target = await openTarget(this.#folder, name);
    try {
      const digest = await this.#fetchInto(target, name, uri);
      const expected = await this.#checksum(sessionId, name);
      if (expected !== undefined && expected !== digest) {
        throw new Error(`${name} is damaged: its checksum is not the one of the library. Download it again.`);
      }
      await target.commit();
      this.#updateFile(name, { status: expected === undefined ? "downloaded" : "verified" });
    } catch (error) {
      this.#updateFile(name, { status: "failed" });
      await target.discard();
      throw error;
    }
  }

  /**
   * The link to a file, on the origin of this page whatever name it has: pages may not load from elsewhere, so that the
   * service itself has to send it. Only then it also knows how far a file is that the browser saves.
   */
  async #prepare(sessionId: string, fileName: string): Promise<string> {
    const request = { downloadSessionId: sessionId, fileName };
    let { file } = await this.#persist(() => fileService.prepare(request));
    while (file?.status !== PrepareStatus.PREPARED) {
      if (file?.status === PrepareStatus.ERROR) throw new Error(errorOf(file));
      await this.#wait(pollMs);
      ({ file } = await this.#persist(() => fileService.get(request)));
    }
    const { pathname, search } = new URL(file.downloadEndpoint!.uri);
    return `${pathname}${search}&offload=none`;
  }

  /** Resolves with the SHA-256 of the file in hexadecimal. */
  async #fetchInto(target: FileTarget, name: string, uri: string): Promise<string> {
    const { size } = this.view.files.find((file) => file.name === name)!;
    let hash = sha256.create();
    let etag: string | null = null;
    for (let attempts = 0; target.length < size; attempts++) {
      const before = target.length;
      try {
        const response: Response = await fetch(uri, {
          signal: this.#abort.signal,
          cache: "no-store",
          headers:
            target.length === 0
              ? {}
              : { range: `bytes=${target.length}-`, ...(etag !== null && { "if-range": etag }) },
        });
        if (!response.ok) throw new StatusError(response.status);
        if (response.status !== 206 && target.length > 0) {
          await target.truncate();
          hash = sha256.create();
        }
        etag = response.headers.get("etag");
        this.#update({ status: "running", problem: undefined });
        for await (const chunk of chunksOf(response)) {
          await target.write(chunk);
          hash.update(chunk);
          this.#updateFile(name, { bytes: target.length });
        }
      } catch (error) {
        this.#abort.signal.throwIfAborted();
        if (error instanceof StatusError && !error.isPassing) throw error;
        // What makes progress starts again at once.
        if (target.length > before) attempts = 0;
        this.#update({ status: "interrupted", problem: "The connection was lost. It is tried again." });
        await this.#wait(Math.min(maxRetryMs, 250 * 2 ** attempts));
      }
    }
    return bytesToHex(hash.digest());
  }

  /** The browser saves the file; what was sent of it is asked for until that is all. */
  async #saveByLink(downloadSessionId: string, name: string, uri: string): Promise<void> {
    const { size } = this.view.files.find((file) => file.name === name)!;
    const anchor = document.createElement("a");
    anchor.href = uri;
    anchor.download = "";
    anchor.click();
    for (let sent = 0; sent < size; ) {
      await this.#wait(pollMs * 2);
      const { files } = await this.#persist(() => fileService.inspect({ downloadSessionId }));
      sent = Number(files.find((file) => file.name === name)?.bytesTransferred ?? 0n);
      this.#updateFile(name, { bytes: sent });
    }
    this.#updateFile(name, { status: "downloaded" });
  }

  /** The checksum of a prepared file; that of a large one may come a while later. */
  async #checksum(downloadSessionId: string, fileName: string): Promise<string | undefined> {
    for (let polls = 0; polls < 240; polls++) {
      const { file } = await this.#persist(() => fileService.get({ downloadSessionId, fileName }));
      if (file?.status === PrepareStatus.ERROR) throw new Error(errorOf(file));
      const { checksumInfo } = file ?? {};
      if (checksumInfo !== undefined)
        return checksumInfo.algorithm === Algorithm.SHA256 ? checksumInfo.checksum : undefined;
      await this.#wait(pollMs);
    }
    return undefined;
  }

  /** The session has done its work: what is left of it would only wait for its end. */
  async #finish(downloadSessionId: string): Promise<void> {
    await sessions.keepAlive({ downloadSessionId, progress: 100n }).catch(() => {});
    await sessions.delete({ downloadSessionId }).catch(() => {});
  }

  /** Repeats a call for as long as it fails for a passing reason. */
  async #persist<T>(call: () => Promise<T>): Promise<T> {
    for (let attempts = 0; ; attempts++) {
      this.#abort.signal.throwIfAborted();
      try {
        const answer = await call();
        if (this.view.status === "interrupted") this.#update({ status: "running", problem: undefined });
        return answer;
      } catch (error) {
        this.#abort.signal.throwIfAborted();
        if (!isPassing(error)) throw error;
        this.#update({ status: "interrupted", problem: "The service does not answer. It is tried again." });
        await this.#wait(Math.min(maxRetryMs, 250 * 2 ** attempts));
      }
    }
  }

  #wait(ms: number): Promise<void> {
    const { signal } = this.#abort;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(done, ms);
      function done() {
        signal.removeEventListener("abort", aborted);
        resolve();
      }
      function aborted() {
        clearTimeout(timer);
        reject(signal.reason);
      }
      if (signal.aborted) aborted();
      else signal.addEventListener("abort", aborted, { once: true });
    });
  }

  #percent(): number {
    const total = this.view.files.reduce((sum, { size }) => sum + size, 0);
    const bytes = this.view.files.reduce((sum, file) => sum + file.bytes, 0);
    return total === 0 ? 0 : Math.min(100, Math.floor((bytes / total) * 100));
  }

  #updateFile(name: string, change: Partial<FileProgress>): void {
    const files = this.view.files.map((file) => (file.name === name ? { ...file, ...change } : file));
    this.#update({ files });
  }

  #update(change: Partial<DownloadView>): void {
    if (this.view.status === "canceled") return;
    this.view = { ...this.view, ...change };
    this.#changed();
  }
}

class StatusError extends Error {
  readonly status: number;
  readonly isPassing: boolean;

  constructor(status: number) {
    super(`The service answers with status ${status}.`);
    this.status = status;
    this.isPassing = status === 429 || status >= 500;
  }
}

async function* chunksOf({ body }: Response): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const reader = body!.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function errorOf({ name, errorMessage }: FileInfo): string {
  return errorMessage?.defaultMessage ?? `${name} could not be prepared.`;
}

/** Why it has failed; the service is asked when it looks as if the session has ended. */
async function messageOf(error: unknown, sessionId: string | undefined): Promise<string> {
  const isClosed =
    error instanceof LeaseLostError ||
    (error instanceof StatusError && error.status === 404) ||
    (error instanceof ConnectError && endedCodes.includes(error.code));
  if (isClosed && sessionId !== undefined) return whyEnded(sessions, sessionId);
  if (error instanceof ConnectError) return error.rawMessage;
  return error instanceof Error ? error.message : String(error);
}

const endedCodes: readonly Code[] = [Code.NotFound, Code.FailedPrecondition];
