import { hash } from "node:crypto";
import { create, type MessageShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  ItemFileService,
  ItemFileServiceGetResponseSchema,
  ItemFileServiceListResponseSchema,
} from "../../gen/content/library/item/v1/item_file_pb.ts";
import {
  FindResponseSchema as FindItemsResponseSchema,
  GetResponseSchema as GetItemResponseSchema,
  ItemModelSchema,
  ItemService,
  ListResponseSchema as ListItemsResponseSchema,
} from "../../gen/content/library/v1/item_pb.ts";
import {
  FindResponseSchema as FindLibrariesResponseSchema,
  GetResponseSchema as GetLibraryResponseSchema,
  LibraryModel_LibraryType,
  LibraryModelSchema,
  LibraryService,
  ListResponseSchema as ListLibrariesResponseSchema,
  PublishInfo_AuthenticationMethod,
} from "../../gen/content/v1/library_pb.ts";
import {
  LocalLibraryService,
  LocalLibraryServiceGetResponseSchema,
  LocalLibraryServiceListResponseSchema,
} from "../../gen/content/v1/local_library_pb.ts";
import { type Operation, operation } from "../calls/pipeline.ts";
import type { ContentSource, Library, LibraryItem } from "../domain/content-source.ts";
import { ServiceError } from "../domain/errors.ts";
import { identifier, lookUpItem, lookUpLibrary, requireFile, requireItem } from "./arguments.ts";
import { itemFileInfoOf } from "./item-file-info.ts";
import { turnFor } from "./long-lists.ts";

const { method: libraryRpc } = LibraryService;
const { method: localLibraryRpc } = LocalLibraryService;
const { method: itemRpc } = ItemService;
const { method: fileRpc } = ItemFileService;

/**
 * The read operations of `com.vmware.content.library`, `com.vmware.content.local_library`,
 * `com.vmware.content.library.item` and `com.vmware.content.library.item.file`.
 */
export function libraryOperations(content: ContentSource): Operation[] {
  return [...libraries(content), ...items(content), ...files(content)];
}

function libraries(content: ContentSource) {
  const list = async () => {
    const all = await content.libraries();
    await turnFor(all);
    return { libraryIds: idsOf(all) };
  };
  const get = async ({ libraryId }: { readonly libraryId: string }) => {
    const library = await lookUpLibrary(content, identifier(libraryId, "library_id"));
    return { library: libraryModelOf(library, content) };
  };
  return [
    operation({
      method: libraryRpc.list,
      async run() {
        return create(ListLibrariesResponseSchema, await list());
      },
    }),
    operation({
      method: libraryRpc.get,
      async run(request) {
        return create(GetLibraryResponseSchema, await get(request));
      },
    }),
    operation({
      method: localLibraryRpc.list,
      async run() {
        return create(LocalLibraryServiceListResponseSchema, await list());
      },
    }),
    operation({
      method: localLibraryRpc.get,
      async run(request) {
        return create(LocalLibraryServiceGetResponseSchema, await get(request));
      },
    }),
    operation({
      method: libraryRpc.find,
      async run(request) {
        const { name, type } = readCriteria(request.spec, (spec) => ({
          name: spec.name,
          type: spec.type || undefined,
        }));
        const isOfType = type === undefined || type === LibraryModel_LibraryType.LOCAL;
        const all = isOfType ? await content.libraries() : [];
        await turnFor(all);
        const matching = all.filter(hasName(name));
        return create(FindLibrariesResponseSchema, { libraryIds: idsOf(matching) });
      },
    }),
  ];
}

function items(content: ContentSource) {
  return [
    operation({
      method: itemRpc.list,
      async run(request) {
        const id = identifier(request.libraryId, "library_id");
        const entries = await content.items(id);
        if (entries === undefined) throw new ServiceError("downlease.library.not_found", [id]);
        await turnFor(entries);
        return create(ListItemsResponseSchema, { libraryItemIds: idsOf(entries) });
      },
    }),
    operation({
      method: itemRpc.get,
      async run(request) {
        const item = await lookUpItem(content, identifier(request.libraryItemId, "library_item_id"));
        return create(GetItemResponseSchema, { libraryItem: itemModelOf(item) });
      },
    }),
    operation({
      method: itemRpc.find,
      async run(request) {
        const { library_id, name, type, source_id, cached } = readCriteria(request.spec, (spec) => ({
          library_id: spec.libraryId,
          name: spec.name,
          type: spec.type,
          source_id: spec.sourceId,
          cached: spec.cached,
        }));
        if (library_id !== undefined) identifier(library_id, "spec.library_id");
        if (source_id !== undefined) identifier(source_id, "spec.source_id");
        // No item is a copy of another one, and the files of every item are stored here.
        const isPossible = source_id === undefined && cached !== false;
        // `find` declares no `not_found`: a library that does not exist has no items.
        const entries = (isPossible && (await content.items(library_id))) || [];
        await turnFor(entries);
        const matching = entries.filter(hasName(name)).filter(hasType(type));
        return create(FindItemsResponseSchema, { libraryItemIds: idsOf(matching) });
      },
    }),
  ];
}

function files(content: ContentSource) {
  return [
    operation({
      method: fileRpc.list,
      async run(request) {
        const id = identifier(request.libraryItemId, "library_item_id");
        const { files } = requireItem(await content.contents(id), id);
        await turnFor(files);
        return create(ItemFileServiceListResponseSchema, { files: files.map(itemFileInfoOf) });
      },
    }),
    operation({
      method: fileRpc.get,
      async run(request) {
        const id = identifier(request.libraryItemId, "library_item_id");
        const name = identifier(request.name, "name");
        const file = requireFile(requireItem(await content.contents(id), id), name, id);
        return create(ItemFileServiceGetResponseSchema, { file: itemFileInfoOf(file) });
      },
    }),
  ];
}

/**
 * The criteria of a find specification.
 *
 * @param read returns each criterion under its name in the specification
 * @throws ServiceError `invalid_argument` when there is no criterion
 */
function readCriteria<S, C extends object>(spec: S | undefined, read: (spec: S) => C): C {
  if (spec === undefined) throw new ServiceError("downlease.argument.missing", ["spec"]);
  const criteria = read(spec);
  if (Object.values(criteria).every((value) => value === undefined)) {
    throw new ServiceError("downlease.argument.find_spec", [Object.keys(criteria).join(", ")]);
  }
  return criteria;
}

function hasName(name: string | undefined): (candidate: { readonly name: string }) => boolean {
  if (name === undefined) return () => true;
  const folded = withoutCase(name);
  return (candidate) => withoutCase(candidate.name) === folded;
}

function hasType(type: string | undefined): (candidate: { readonly type?: string }) => boolean {
  if (type === undefined) return () => true;
  const folded = withoutCase(type);
  return (candidate) => candidate.type !== undefined && withoutCase(candidate.type) === folded;
}

/** Upper case first: some letters, such as Σ, have more than one lower-case form. */
function withoutCase(text: string): string {
  return text.toUpperCase().toLowerCase();
}

function idsOf(entries: readonly { readonly id: string }[]): string[] {
  return entries.map(({ id }) => id);
}

function libraryModelOf(
  library: Library,
  { id: serverGuid }: ContentSource,
): MessageShape<typeof LibraryModelSchema> {
  const { id, name, description = "", createdAt, modifiedAt } = library;
  return create(LibraryModelSchema, {
    id,
    name,
    description,
    type: LibraryModel_LibraryType.LOCAL,
    creationTime: timestampFromMs(createdAt),
    lastModifiedTime: timestampFromMs(modifiedAt),
    version: versionOf([name, description]),
    serverGuid,
    publishInfo: {
      authenticationMethod: PublishInfo_AuthenticationMethod.NONE,
      published: false,
      persistJsonEnabled: false,
    },
  });
}

function itemModelOf(item: LibraryItem): MessageShape<typeof ItemModelSchema> {
  const { id, libraryId, name, description = "", type, contentVersion, size, createdAt, modifiedAt } = item;
  const version = versionOf([name, description, type]);
  return create(ItemModelSchema, {
    id,
    libraryId,
    name,
    description,
    ...(type !== undefined && { type }),
    contentVersion,
    size: BigInt(size),
    cached: true,
    creationTime: timestampFromMs(createdAt),
    lastModifiedTime: timestampFromMs(modifiedAt),
    version,
    metadataVersion: version,
  });
}

/** As in vSphere, a version of the properties themselves, independent of the content. */
function versionOf(properties: readonly (string | undefined)[]): string {
  return hash("sha256", JSON.stringify(properties)).slice(0, 16);
}
