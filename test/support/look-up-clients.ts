import type { DescMethodUnary, JsonObject, JsonValue } from "@bufbuild/protobuf";
import { ItemFileService } from "../../gen/content/library/item/v1/item_file_pb.ts";
import { ItemService } from "../../gen/content/library/v1/item_pb.ts";
import { LibraryService } from "../../gen/content/v1/library_pb.ts";
import { methodClients } from "./method-clients.ts";

export const lookUps = {
  "library.list": LibraryService.method.list,
  "library.get": LibraryService.method.get,
  "library.find": LibraryService.method.find,
  "item.list": ItemService.method.list,
  "item.get": ItemService.method.get,
  "item.find": ItemService.method.find,
  "file.list": ItemFileService.method.list,
  "file.get": ItemFileService.method.get,
} satisfies Record<string, DescMethodUnary>;

/** Calls a look-up operation; returns what `CallMethod` does. */
export type LookUp = (what: keyof typeof lookUps, parameters: JsonObject) => Promise<JsonValue | undefined>;

export const lookUpClients: Record<string, (baseUrl: string) => LookUp> = Object.fromEntries(
  Object.entries(methodClients).map(([name, open]) => [
    name,
    (baseUrl: string): LookUp => {
      const call = open(baseUrl);
      return (what, parameters) => call(lookUps[what], parameters);
    },
  ]),
);
