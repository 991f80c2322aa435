import { type DescEnum, type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import {
  enumerationIdOf,
  heldFieldOf,
  isOptional,
  isOutputOnly,
  isSecret,
  structureIdOf,
} from "../../src/calls/vapi-schema.ts";
import { textOf } from "./comments.ts";
import type { Json } from "./json.ts";
import { isLeftOutByClients, limitsOf, listLimits, structureLimitsOf } from "./limits.ts";

/**
 * A structure of requests has no members that only results have, and no unknown ones; one of results may get new
 * members with another release. A structure that both have is described twice.
 */
type Direction = "request" | "result";

/** The schemas of structures and enumerations that operations use, by their names in the document. */
export class Schemas {
  readonly #byName = new Map<string, Json>();
  readonly #inResults = new Set<string>();

  /** @param results the fields that are results of operations */
  constructor(results: readonly DescField[]) {
    for (const field of results) this.#noteResult(field);
  }

  /** Sorted by name, so that the document does not depend on the order of the operations. */
  get all(): Json {
    return Object.fromEntries([...this.#byName].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** The schema of a field's value. */
  ofField(field: DescField, direction: Direction): Json {
    const description = textOf(field).replace(/ Required\.$/, "");
    const schema = this.#valueOf(field, direction);
    const extras = {
      ...(description !== "" && { description }),
      ...(isOutputOnly(field) && { readOnly: true }),
      ...(isSecret(field) && { format: "password" }),
    };
    return Object.keys(extras).length === 0 ? schema : { ...schema, ...extras };
  }

  /** An object with some fields of a message as members. */
  ofFields(fields: readonly DescField[], direction: Direction): Json {
    const isRequest = direction === "request";
    const members = isRequest ? fields.filter((field) => !isOutputOnly(field)) : fields;
    const required = members.filter((field) => (isRequest ? isRequired(field) : isAlwaysThere(field)));
    return {
      type: "object",
      properties: Object.fromEntries(members.map((field) => [field.name, this.ofField(field, direction)])),
      ...(required.length > 0 && { required: required.map(({ name }) => name) }),
      ...(isRequest && { additionalProperties: false }),
    };
  }

  #valueOf(field: DescField, direction: Direction): Json {
    const limits = limitsOf(field, direction === "request");
    switch (field.fieldKind) {
      case "scalar":
        return { ...scalarOf(field.scalar), ...limits };
      case "enum":
        return this.#ofEnum(field.enum);
      case "message":
        return this.#ofMessage(field.message, direction);
      case "list": {
        const items = this.#elementOf(field, direction);
        if (field.listKind !== "scalar") return { type: "array", items };
        const isLimited = direction === "request" && field.name === "ids";
        return { type: "array", items: { ...items, ...limits }, ...(isLimited && listLimits) };
      }
      case "map":
        return { type: "object", additionalProperties: this.#elementOf(field, direction) };
    }
  }

  #elementOf(field: DescField & { fieldKind: "list" | "map" }, direction: Direction): Json {
    if (field.message) return this.#ofMessage(field.message, direction);
    if (field.enum) return this.#ofEnum(field.enum);
    return scalarOf(field.scalar!);
  }

  #ofMessage(desc: DescMessage, direction: Direction): Json {
    if (desc.typeName === TimestampSchema.typeName) return { type: "string", format: "date-time" };
    const held = heldFieldOf(desc);
    if (held !== undefined) return this.#valueOf(held, direction);
    const name = nameOf(structureIdOf(desc) ?? desc.typeName);
    const isTwice = direction === "request" && this.#inResults.has(desc.typeName);
    return this.#reference(isTwice ? `${name}.input` : name, () => ({
      description: textOf(desc),
      ...this.ofFields(desc.fields, direction),
      ...(direction === "request" && structureLimitsOf(name)),
    }));
  }

  #ofEnum(desc: DescEnum): Json {
    return this.#reference(nameOf(enumerationIdOf(desc)), () => {
      const values = desc.values.filter(({ number }) => number !== 0);
      const meanings = values.map((value) => `- \`${value.localName}\`: ${textOf(value)}`);
      return {
        type: "string",
        enum: values.map(({ localName }) => localName),
        description: `${textOf(desc)}\n\n${meanings.join("\n")}`,
      };
    });
  }

  #reference(name: string, make: () => Json): Json {
    if (!this.#byName.has(name)) {
      // A structure may refer to itself.
      this.#byName.set(name, {});
      this.#byName.set(name, make());
    }
    return { $ref: `#/components/schemas/${name}` };
  }

  #noteResult({ message }: DescField): void {
    if (!message || this.#inResults.has(message.typeName)) return;
    this.#inResults.add(message.typeName);
    for (const field of message.fields) this.#noteResult(field);
  }
}

/** Whether a request must have a member. */
export function isRequired(field: DescField): boolean {
  return !isOptional(field) && !isLeftOutByClients.has(field.name);
}

/** Whether a result has a member: the encoder of `/api` leaves out only what has presence and is unset. */
function isAlwaysThere(field: DescField): boolean {
  const hasPresence =
    field.fieldKind === "message" || field.fieldKind === "map" || field.proto.proto3Optional;
  return !isOptional(field) || !hasPresence;
}

/** A name in the document, where everything is VMware's. */
function nameOf(id: string): string {
  return id.replace(/^com\.vmware\./, "");
}

function scalarOf(scalar: ScalarType): Json {
  switch (scalar) {
    case ScalarType.STRING:
      return { type: "string" };
    case ScalarType.BOOL:
      return { type: "boolean" };
    case ScalarType.INT64:
      return { type: "integer", format: "int64" };
    case ScalarType.DOUBLE:
      return { type: "number", format: "double" };
    default:
      throw new Error(`vAPI has no type for scalar ${scalar}`);
  }
}
