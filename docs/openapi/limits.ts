/** What the types of the interface do not say about values: lengths, ranges and forms. */
import type { DescField } from "@bufbuild/protobuf";
import { fieldSettings } from "../../src/config/settings.ts";
import type { Json } from "./json.ts";

/** As `isIdentifier`, which counts bytes: JSON Schema can only count characters. */
const identifier: Json = { minLength: 1, maxLength: 256, pattern: "^[^\\x00-\\x1f\\x7f-\\x9f]+$" };
const percent: Json = { minimum: 0, maximum: 100 };

/** Values of requests, by the names of fields, with that of the message where others mean something else by it. */
const limits: Readonly<Record<string, Json>> = {
  client_token: { format: "uuid" },
  file_name: identifier,
  library: identifier,
  min_age_seconds: { minimum: 0, maximum: 1e9 },
  owner: identifier,
  "ItemFileServiceGetRequest.name": identifier,
  page_size: { minimum: 1, maximum: 1000, default: 100 },
  principal: identifier,
  progress: percent,
  transfer_throttling_bandwidth_total: { minimum: 0 },
  ...Object.fromEntries(fieldSettings.filter(({ changeable }) => changeable).map(settingLimit)),
};

/** Values of results. */
const resultLimits: Readonly<Record<string, Json>> = { client_progress: percent, progress: percent };

/** Structures of requests, by their names. */
const structureLimits: Readonly<Record<string, Json>> = {
  "content.library.find_spec": { minProperties: 1 },
  "content.library.item.find_spec": { minProperties: 1 },
  "content.library.item.download_session_model": { required: ["library_item_id"] },
};

/** The limits of the value of a field, or of the elements of a list. */
export function limitsOf({ name, parent }: DescField, isRequest: boolean): Json {
  if (!isRequest) return resultLimits[name] ?? {};
  return limits[`${parent.name}.${name}`] ?? limits[name] ?? (/(?:^|_)ids?$/.test(name) ? identifier : {});
}

/** The limits of a structure of requests, by its name. */
export function structureLimitsOf(name: string): Json {
  return structureLimits[name] ?? {};
}

/** What the interface requires as VMware's documents do, and `/api` does not. */
export const isLeftOutByClients = new Set(["client_error_message"]);

/** The most ids of one request. */
export const listLimits: Json = { maxItems: 1000 };

function settingLimit({ flag, range }: (typeof fieldSettings)[number]): [string, Json] {
  const { min, max, choices } = range;
  return [
    flag.slice("--".length).replaceAll("-", "_"),
    {
      ...(min !== undefined && { minimum: min }),
      ...(max !== undefined && { maximum: max }),
      ...(choices !== undefined && { enum: choices }),
    },
  ];
}
