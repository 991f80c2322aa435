import {
  type DescEnum,
  type DescField,
  type DescMessage,
  isFieldSet,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema, timestampMs } from "@bufbuild/protobuf/wkt";
import { unsupported } from "./binder.ts";
import { formatDateTime } from "./date-time.ts";
import { NumberLiteral, type Tree, type TreeObject } from "./tree.ts";

/** Turns one field value into a tree. */
type Encode = (value: never) => Tree;

interface EncodePlan {
  readonly name: string;
  readonly localName: string;
  readonly encode: Encode;
  isSet(message: Message): boolean;
}

const plans = new WeakMap<DescMessage, EncodePlan[]>();

/**
 * How a value of this field is written; made once at start-up. Unset members are left out, members without
 * presence and lists are always written, longs are numbers, enums their names without prefix.
 *
 * @throws UnsupportedFieldError when a field, at any depth, has no vAPI representation
 */
export function encoderOf(field: DescField): (value: unknown) => Tree {
  return encodeField(field) as (value: unknown) => Tree;
}

function planOf(desc: DescMessage): EncodePlan[] {
  const known = plans.get(desc);
  if (known !== undefined) return known;
  const plan: EncodePlan[] = [];
  plans.set(desc, plan);
  for (const field of desc.fields) {
    const hasPresence =
      field.fieldKind === "map" || (field.fieldKind !== "list" && isFieldWithPresence(field));
    plan.push({
      name: field.name,
      localName: field.localName,
      encode: encodeField(field),
      isSet: hasPresence ? (message) => isFieldSet(message, field) : () => true,
    });
  }
  return plan;
}

/** Proto3 fields without `optional` are required in vAPI and written also when they are zero. */
function isFieldWithPresence(field: DescField): boolean {
  return field.fieldKind === "message" || field.proto.proto3Optional;
}

function encodeMessage(desc: DescMessage): Encode {
  if (desc.typeName === TimestampSchema.typeName) {
    return (value: Timestamp) => formatDateTime(timestampMs(value));
  }
  const plan = planOf(desc);
  return (message: Message) => {
    const tree: { [name: string]: Tree } = {};
    for (const field of plan) {
      if (!field.isSet(message)) continue;
      tree[field.name] = field.encode((message as unknown as Record<string, never>)[field.localName]!);
    }
    return tree satisfies TreeObject;
  };
}

function encodeField(field: DescField): Encode {
  if (field.oneof !== undefined) throw unsupported(field);
  switch (field.fieldKind) {
    case "scalar":
      return encodeScalar(field, field.scalar);
    case "enum":
      return encodeEnum(field.enum);
    case "message":
      return encodeMessage(field.message);
    case "list": {
      const encode = encodeElement(field);
      return (items: readonly never[]) => items.map(encode);
    }
    case "map": {
      const encode = encodeElement(field);
      return (map: Record<string, never>) =>
        Object.entries(map).map(([key, value]) => ({ key, value: encode(value) }));
    }
  }
}

function encodeElement(field: DescField & { fieldKind: "list" | "map" }): Encode {
  if (field.message) return encodeMessage(field.message);
  if (field.enum) return encodeEnum(field.enum);
  return encodeScalar(field, field.scalar!);
}

function encodeScalar(field: DescField, scalar: ScalarType): Encode {
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BOOL:
    case ScalarType.DOUBLE:
      return (value: string | boolean | number) => value;
    case ScalarType.INT64:
      return (value: bigint) =>
        BigInt.asIntN(53, value) === value ? Number(value) : new NumberLiteral(value.toString());
    default:
      throw unsupported(field);
  }
}

function encodeEnum(desc: DescEnum): Encode {
  const names = new Map(desc.values.map(({ number, localName }) => [number, localName]));
  return (value: number) => names.get(value) ?? String(value);
}
