import type { ContentSource, ItemFile } from "../domain/content-source.ts";
import { ServiceError } from "../domain/errors.ts";
import type { EndpointType, SessionFile, SessionFiles } from "../domain/session-file-store.ts";
import { identifier, requireItem } from "./arguments.ts";

/** The current state of a session's item. */
export interface SessionItem {
  readonly id: string;
  /**
   * By name, and in the order of their names: the files that the item has now, and files that were requested and have
   * been removed since.
   */
  readonly files: ReadonlyMap<string, FileView>;
}

/** A file of a session. */
export interface FileView {
  readonly name: string;
  /** The file in the content source; undefined when the item has changed since the session was created. */
  readonly source: ItemFile | undefined;
  /** Bytes; undefined when unknown. */
  readonly size: number | undefined;
  /** Undefined until the file is requested in this session. */
  readonly request: FileRequest | undefined;
}

export interface FileRequest {
  /** The endpoint type of the last request. */
  readonly endpointType: EndpointType;
  /** Milliseconds since the first request. */
  readonly forMs: number;
  /** Bytes that the session's client has been sent, repeated ones included. */
  readonly bytesSent: number;
}

/** @throws ServiceError `not_found` when the item has been removed */
export async function itemOf(
  { session, files: sessionFiles }: SessionFiles,
  content: ContentSource,
): Promise<SessionItem> {
  const { libraryItemId: id, contentVersion } = session;
  const current = requireItem(await content.contents(id, contentVersion), id);
  const isChanged = current.contentVersion !== contentVersion;
  const views = current.files.map((file): FileView => {
    const { name, size } = file;
    return {
      name,
      size,
      source: isChanged ? undefined : file,
      request: requestOf(sessionFiles.get(name)),
    };
  });
  const present = new Set(views.map(({ name }) => name));
  for (const [name, file] of sessionFiles) {
    const request = requestOf(file);
    if (request !== undefined && !present.has(name)) {
      views.push({ name, size: undefined, source: undefined, request });
    }
  }
  if (views.length > present.size) views.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { id, files: new Map(views.map((view) => [view.name, view])) };
}

/** @throws ServiceError `invalid_argument` when the item has no such file */
export function fileOf({ id, files }: SessionItem, fileName: string): FileView {
  const name = identifier(fileName, "file_name");
  const file = files.get(name);
  if (file === undefined) throw new ServiceError("downlease.argument.file_name", [name, id]);
  return file;
}

function requestOf(file: SessionFile | undefined): FileRequest | undefined {
  if (file?.requested === undefined) return undefined;
  return { endpointType: file.requested, forMs: file.requestedForMs ?? 0, bytesSent: file.bytesSent };
}
