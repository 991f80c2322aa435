import { create } from "@bufbuild/protobuf";
import {
  ItemStorageService,
  ItemStorageServiceGetResponseSchema,
  ItemStorageServiceListResponseSchema,
} from "../../gen/content/library/item/v1/item_storage_pb.ts";
import { StorageBacking_Type } from "../../gen/content/v1/library_pb.ts";
import { type Operation, operation } from "../calls/pipeline.ts";
import type { ContentSource, ItemContents, ItemFile } from "../domain/content-source.ts";
import { ServiceError } from "../domain/errors.ts";
import { mayReadStorage } from "../domain/roles.ts";
import type { Caller } from "../domain/session.ts";
import { identifier, requireFile, requireItem } from "./arguments.ts";
import { itemFileFields } from "./item-file-info.ts";
import { turnFor } from "./long-lists.ts";

const rpc = ItemStorageService.method;

/** The operations of `com.vmware.content.library.item.storage`. */
export function itemStorageOperations(content: ContentSource): Operation[] {
  const contentsFor = async (caller: Caller, itemId: string): Promise<ItemContents> => {
    const contents = requireItem(await content.contents(itemId), itemId);
    if (!mayReadStorage(caller)) throw new ServiceError("downlease.storage.location_role");
    return contents;
  };
  const locate = ({ place }: ItemContents, file: ItemFile) => ({
    ...itemFileFields(file),
    storageBacking: { type: StorageBacking_Type.OTHER, storageUri: content.location },
    storageUris: [[content.location, ...[...place.split("/"), file.name].map(encodeURIComponent)].join("/")],
  });
  return [
    operation({
      method: rpc.list,
      async run(request, caller) {
        const id = identifier(request.libraryItemId, "library_item_id");
        const contents = await contentsFor(caller, id);
        await turnFor(contents.files);
        const files = contents.files.map((file) => locate(contents, file));
        return create(ItemStorageServiceListResponseSchema, { files });
      },
    }),
    operation({
      method: rpc.get,
      async run(request, caller) {
        const id = identifier(request.libraryItemId, "library_item_id");
        const name = identifier(request.fileName, "file_name");
        const contents = await contentsFor(caller, id);
        const file = requireFile(contents, name, id);
        return create(ItemStorageServiceGetResponseSchema, { files: [locate(contents, file)] });
      },
    }),
  ];
}
