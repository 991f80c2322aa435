import { type DescFile, toBinary } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";

/** A proto file as reflection sends it. */
export interface ServedFile {
  /** The path in import statements. */
  readonly path: string;
  /** Serialised `google.protobuf.FileDescriptorProto`, custom options included. */
  readonly bytes: Uint8Array;
  readonly imports: readonly ServedFile[];
}

/** Proto files with their transitive imports, indexed by path, symbol and extension. */
export class DescriptorIndex {
  readonly #byPath = new Map<string, ServedFile>();
  readonly #bySymbol = new Map<string, ServedFile>();
  readonly #messages = new Set<string>();
  readonly #extensions = new Map<string, Map<number, ServedFile>>();

  constructor(files: Iterable<DescFile>) {
    for (const file of files) this.#add(file);
  }

  fileByPath(path: string): ServedFile | undefined {
    return this.#byPath.get(path);
  }

  /** @param symbol full name of a type, field, enum value or method */
  fileBySymbol(symbol: string): ServedFile | undefined {
    return this.#bySymbol.get(symbol);
  }

  fileByExtension(message: string, number: number): ServedFile | undefined {
    return this.#extensions.get(message)?.get(number);
  }

  /** Numbers of the extensions of a message; undefined when there is no such message. */
  extensionNumbers(message: string): number[] | undefined {
    return this.#messages.has(message) ? [...(this.#extensions.get(message)?.keys() ?? [])] : undefined;
  }

  #add(desc: DescFile): ServedFile {
    const path = desc.proto.name;
    const added = this.#byPath.get(path);
    if (added !== undefined) return added;
    const imports = desc.dependencies.map((dependency) => this.#add(dependency));
    const file = { path, bytes: toBinary(FileDescriptorProtoSchema, desc.proto), imports };
    this.#byPath.set(path, file);
    for (const type of nestedTypes(desc)) {
      this.#bySymbol.set(type.typeName, file);
      const scope = type.typeName.slice(0, -type.name.length);
      switch (type.kind) {
        case "message":
          this.#messages.add(type.typeName);
          for (const { name } of type.members) this.#bySymbol.set(`${type.typeName}.${name}`, file);
          break;
        case "enum":
          // Enum values are scoped as siblings of their enum.
          for (const { name } of type.values) this.#bySymbol.set(`${scope}${name}`, file);
          break;
        case "service":
          for (const { name } of type.methods) this.#bySymbol.set(`${type.typeName}.${name}`, file);
          break;
        case "extension": {
          const numbers = this.#extensions.get(type.extendee.typeName) ?? new Map<number, ServedFile>();
          this.#extensions.set(type.extendee.typeName, numbers.set(type.number, file));
        }
      }
    }
    return file;
  }
}

/**
 * The file, then its transitive imports, each after all files that need it. Skips files in `sent` and adds the rest
 * to it.
 */
export function withImports(file: ServedFile, sent: Set<string>): ServedFile[] {
  const importsFirst: ServedFile[] = [];
  const visit = (each: ServedFile) => {
    sent.add(each.path);
    for (const imported of each.imports) if (!sent.has(imported.path)) visit(imported);
    importsFirst.push(each);
  };
  visit(file);
  return importsFirst.reverse();
}
