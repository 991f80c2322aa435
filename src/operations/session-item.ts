import type { ContentSource, ItemFile } from "../domain/content-source.ts";
import { ServiceError } from "../domain/errors.ts";
import type { EndpointType, SessionFile, SessionFiles } from "../domain/session-file-store.ts";
import { found, identifier } from "./arguments.ts";

/** The item of a session, as it is now. */
export interface SessionItem {
  readonly id: string;
  /**
   * By name, and in the order of their names: those that the item has now, and those that were asked for and are there
   * no more.
   */
  readonly files: ReadonlyMap<string, FileView>;
}

/** A file as a session has it. */
export interface FileView {
  readonly name: string;
  /** As the content source tells it now; undefined when it is not what the session is about any more. */
  readonly told: ItemFile | undefined;
  /** Undefined: not known. */
  readonly size: number | undefined;
  /** Undefined: nobody has asked for the file in this session. */
  readonly asked: Asked | undefined;
}

export interface Asked extends SessionFile {
  readonly requested: EndpointType;
}

/** @throws ServiceError `not_found` when the item is gone */
export async function itemOf(
  { session, files: known }: SessionFiles,
  content: ContentSource,
): Promise<SessionItem> {
  const { libraryItemId: id, contentVersion } = session;
  const current = found(await content.contents(id), id);
  const isChanged = current.contentVersion !== contentVersion;
  const views = current.files.map((file): FileView => {
    const { name, size } = file;
    return { name, size, told: isChanged ? undefined : file, asked: askedOf(known.get(name)) };
  });
  const present = new Set(views.map(({ name }) => name));
  for (const [name, file] of known) {
    const asked = askedOf(file);
    if (asked !== undefined && !present.has(name))
      views.push({ name, size: undefined, told: undefined, asked });
  }
  if (views.length > present.size) views.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { id, files: new Map(views.map((view) => [view.name, view])) };
}

/** @throws ServiceError `invalid_argument` when it has no such file */
export function fileOf({ id, files }: SessionItem, fileName: string): FileView {
  const name = identifier(fileName, "file_name");
  const file = files.get(name);
  if (file === undefined) throw new ServiceError("downlease.argument.file_name", [name, id]);
  return file;
}

function askedOf(file: SessionFile | undefined): Asked | undefined {
  const requested = file?.requested;
  return file && requested && { ...file, requested };
}
