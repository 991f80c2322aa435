import type { ItemFileInfo } from "../../../gen/content/library/item/v1/item_file_pb.ts";
import { ChecksumInfo_ChecksumAlgorithm as Algorithm } from "../../../gen/content/library/item/v1/item_file_pb.ts";
import type { ItemModel } from "../../../gen/content/library/v1/item_pb.ts";
import { callForEach } from "../../client/call-for-each.ts";
import { enumName } from "../../client/enum-name.ts";
import { type FoundItem, type FoundLibrary, findLibraries } from "../../client/find-item.ts";
import { momentOf } from "../../client/numbers.ts";
import { visible } from "../../client/printable.ts";
import { required } from "../answers.ts";
import { CliError } from "../failure.ts";
import { findItem } from "../find-item.ts";
import { ItemNames } from "../item-names.ts";
import type { CommonFlags, Task } from "../run.ts";
import { bytes, type Column, table } from "../text.ts";

interface ListFlags extends CommonFlags {
  readonly long?: boolean;
}

/** Lists of files that are read at the same time: each may be large. */
const maxParallelLists = 4;

export async function list(task: Task<ListFlags>): Promise<void> {
  const { output, flags } = task;
  const libraries = await librariesOf(task, task.operands[0]);
  const items = (await itemsOf(task, libraries)).sort(
    (a, b) => compare(a.libraryName, b.libraryName) || compare(a.item.name, b.item.name),
  );
  const countFiles = async ({ id }: FoundItem) => (await files(task, id)).length;
  const counts = flags.long ? await callForEach(items, countFiles, maxParallelLists) : undefined;
  if (output.isJson) {
    for (const [index, { id, item, libraryName }] of items.entries()) {
      output.json({ ...itemJson(id, item, libraryName), file_count: counts?.[index] });
    }
    return;
  }
  const long: Column[] = [
    { title: "FILES", right: true, drop: 3 },
    { title: "VERSION", drop: 6 },
    { title: "MODIFIED", drop: 5 },
  ];
  const columns: Column[] = [
    { title: "LIBRARY", shrinks: true },
    { title: "NAME", shrinks: true },
    { title: "ID", drop: 4 },
    { title: "TYPE", drop: 2 },
    { title: "SIZE", right: true, drop: 1 },
    ...(counts === undefined ? [] : long),
  ];
  const rows = items.map(({ id, item, libraryName }, index) => [
    libraryName,
    item.name ?? "",
    id,
    item.type ?? "",
    bytes(Number(item.size ?? 0n)),
    ...(counts === undefined
      ? []
      : [String(counts[index]), item.contentVersion ?? "", modifiedTime(item) ?? ""]),
  ]);
  output.lines(table(columns, rows, output.width));
}

export async function show(task: Task): Promise<void> {
  const { output } = task;
  const { id, item } = await findItem(task, task.operands[0]!);
  const [library, listed] = await Promise.all([
    new ItemNames(task).ofLibrary(item.libraryId ?? ""),
    files(task, id),
  ]);
  if (output.isJson) {
    output.json({ ...itemJson(id, item, library), files: listed.map(fileJson) });
    return;
  }
  const facts = [
    ["item", item.name],
    ["id", id],
    ["library", library === item.libraryId ? library : `${library} (${item.libraryId})`],
    ["type", item.type],
    ["size", bytes(Number(item.size ?? 0n))],
    ["version", item.contentVersion],
    ["modified", modifiedTime(item)],
    ["description", item.description],
  ].filter(([, value]) => value);
  const columns = [
    { title: "FILE", shrinks: true },
    { title: "SIZE", right: true },
    { title: "CHECKSUM", drop: 1 },
  ];
  const rows = listed.map((file) => [file.name, bytes(Number(file.size)), checksum(file) ?? ""]);
  output.lines([
    ...facts.map(([name, value]) => `${name!.padEnd(11)}  ${visible(value!)}`),
    "",
    ...table(columns, rows, output.width),
  ]);
}

async function librariesOf({ server, call }: Task, reference: string | undefined): Promise<FoundLibrary[]> {
  if (reference !== undefined) {
    const matches = await findLibraries({ server, call }, reference);
    if (matches.length > 0) return matches;
    throw new CliError("not_found", `there is no library '${visible(reference)}'. See downlease items.`);
  }
  const { libraryIds } = await server.libraries.list({}, call);
  return callForEach(libraryIds, async (id) => ({
    id,
    library: required((await server.libraries.get({ libraryId: id }, call)).library, "library"),
  }));
}

async function itemsOf({ server, call }: Task, libraries: readonly FoundLibrary[]) {
  const idsOf = async ({ id: libraryId, library }: FoundLibrary) => {
    const { libraryItemIds } = await server.items.list({ libraryId }, call);
    return libraryItemIds.map((id) => ({ id, libraryName: library.name ?? libraryId }));
  };
  const entries = (await callForEach(libraries, idsOf)).flat();
  return callForEach(entries, async ({ id, libraryName }) => ({
    id,
    item: required((await server.items.get({ libraryItemId: id }, call)).libraryItem, "library_item"),
    libraryName,
  }));
}

async function files({ server, call }: Task, libraryItemId: string): Promise<ItemFileInfo[]> {
  return (await server.itemFiles.list({ libraryItemId }, call)).files;
}

/** The object that `--json` prints, with the member names of the server. */
function itemJson(id: string, item: ItemModel, libraryName: string) {
  return {
    id,
    name: item.name,
    library: libraryName,
    library_id: item.libraryId,
    type: item.type,
    size: Number(item.size ?? 0n),
    content_version: item.contentVersion,
    last_modified_time: modifiedTime(item),
    description: item.description,
  };
}

function fileJson(file: ItemFileInfo) {
  const { name, size, checksumInfo } = file;
  return {
    name,
    size: Number(size),
    checksum: checksumInfo && { algorithm: algorithm(file), value: checksumInfo.checksum },
  };
}

function checksum(file: ItemFileInfo): string | undefined {
  return file.checksumInfo && `${algorithm(file)} ${file.checksumInfo.checksum}`;
}

function algorithm({ checksumInfo }: ItemFileInfo): string {
  return enumName(Algorithm, checksumInfo?.algorithm ?? Algorithm.SHA1);
}

function modifiedTime({ lastModifiedTime }: ItemModel): string | undefined {
  return momentOf(lastModifiedTime)?.toISOString();
}

function compare(a = "", b = ""): number {
  return a < b ? -1 : Number(a > b);
}
