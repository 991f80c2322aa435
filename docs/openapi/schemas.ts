import { type DescEnum, type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { getComments } from "@bufbuild/protoplugin";
import {
  enumerationIdOf,
  heldFieldOf,
  isOptional,
  isOutputOnly,
  isSecret,
  structureIdOf,
} from "../../src/calls/vapi-schema.ts";
import { exampleOf } from "./examples.ts";

/** A part of an OpenAPI document. */
export type Json = { readonly [name: string]: unknown };

/** The schemas of structures and enumerations that operations use, by their names in the document. */
export class Schemas {
  readonly #byName = new Map<string, Json>();

  /** Sorted by name, so that the document does not depend on the order of the operations. */
  get all(): Json {
    return Object.fromEntries([...this.#byName].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** The schema of a field's value. */
  ofField(field: DescField): Json {
    const description = textOf(field);
    const schema = this.#valueOf(field);
    const extras = {
      ...(description !== "" && { description }),
      ...(isOutputOnly(field) && { readOnly: true }),
      ...(isSecret(field) && { format: "password" }),
      ...exampleOf(field),
    };
    return Object.keys(extras).length === 0 ? schema : { ...schema, ...extras };
  }

  /** An object with some fields of a message as members. */
  ofFields(fields: readonly DescField[]): Json {
    const required = fields.filter((field) => !isOptional(field)).map(({ name }) => name);
    return {
      type: "object",
      properties: Object.fromEntries(fields.map((field) => [field.name, this.ofField(field)])),
      ...(required.length > 0 && { required }),
    };
  }

  #valueOf(field: DescField): Json {
    switch (field.fieldKind) {
      case "scalar":
        return scalarOf(field.scalar);
      case "enum":
        return this.#ofEnum(field.enum);
      case "message":
        return this.#ofMessage(field.message);
      case "list":
        return { type: "array", items: this.#elementOf(field) };
      case "map":
        return { type: "object", additionalProperties: this.#elementOf(field) };
    }
  }

  #elementOf(field: DescField & { fieldKind: "list" | "map" }): Json {
    if (field.message) return this.#ofMessage(field.message);
    if (field.enum) return this.#ofEnum(field.enum);
    return scalarOf(field.scalar!);
  }

  #ofMessage(desc: DescMessage): Json {
    if (desc.typeName === TimestampSchema.typeName) return { type: "string", format: "date-time" };
    const held = heldFieldOf(desc);
    if (held !== undefined) return this.#valueOf(held);
    const name = nameOf(structureIdOf(desc) ?? desc.typeName);
    return this.#reference(name, () => ({ description: textOf(desc), ...this.ofFields(desc.fields) }));
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
}

/** The comment of a part of the interface, as Markdown. */
export function textOf(desc: Parameters<typeof getComments>[0]): string {
  const { leading = "" } = getComments(desc);
  return leading
    .split("\n")
    .map((line) => line.replace(/^ /, ""))
    .join("\n")
    .trim();
}

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
