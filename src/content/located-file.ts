import type { ContentFile, ContentSource } from "../domain/content-source.ts";

/** A file in one version, as a source has found it. */
export interface LocatedFile {
  /** Bytes. */
  readonly size: number;
  /** As `ItemFile.version`. */
  readonly version: string;
  /** Identifies the bytes: files that differ have others, in every source of the same kind, at any time. */
  readonly identity: string;
  /** Opens the file, any number of times; the source is asked for nothing but bytes. */
  open(): ContentFile;
}

/** A source that can find a file without opening it. */
export interface LocatingSource extends ContentSource {
  /** Undefined in the cases of `openFile`. */
  locate(itemId: string, fileName: string, contentVersion: string): Promise<LocatedFile | undefined>;

  /** Called when a file was found to be another one than the source has said. */
  forget(itemId: string): void;
}
