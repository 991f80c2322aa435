/** What `package.json` of the checkout has that the manifests of the packages need. */
interface Manifest {
  readonly version: string;
  readonly license: string;
  readonly private: boolean;
  readonly engines: object;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly [name: string]: unknown;
}

/** An entry of `exports` with its declarations. */
const entry = (path: string) => ({ types: `./${path}.d.ts`, default: `./${path}.js` });

/** That of the checkout without what is of no use to those who install the package. */
export function serviceManifest(ours: Manifest): object {
  const [traces, dependencies] = partition(ours.dependencies, (name) => name.startsWith("@opentelemetry/"));
  return {
    ...ours,
    dependencies,
    exports: { "./client": entry("src/client/index"), "./package.json": "./package.json" },
    bin: { downlease: "src/main.js" },
    scripts: undefined,
    // Readable lines of the log, which are for terminals: the image does without.
    optionalDependencies: {
      ...ours.optionalDependencies,
      // In a checkout they are no optional ones: npm silently leaves out those that want a newer Node.js than its own.
      ...traces,
      "pino-pretty": ours.devDependencies["pino-pretty"],
    },
    devDependencies: undefined,
    allowScripts: undefined,
  };
}

/** @param packages those that the code imports */
export function clientManifest(ours: Manifest, packages: readonly string[]): object {
  const { version, license, private: isPrivate, engines, dependencies } = ours;
  const versionOf = (name: string) => {
    const found = dependencies[name];
    if (found === undefined) throw new Error(`the SDK imports ${name}, which is not a dependency`);
    return found;
  };
  return {
    name: "@downlease/client",
    version,
    description: "Clients for downlease: typed calls, a keeper of leases, downloads that resume and verify",
    license,
    private: isPrivate,
    type: "module",
    engines,
    exports: {
      ".": entry("src/client/index"),
      "./browser": entry("src/client/browser"),
      "./gen/*.js": entry("gen/*"),
      "./proto/*": "./proto/*",
      "./package.json": "./package.json",
    },
    // The check of the version of Node.js. Bundlers leave out everything else that is not used.
    sideEffects: ["./src/client/require-node.js"],
    // Others in the same project depend on them, too, and messages are of one runtime.
    dependencies: Object.fromEntries(packages.map((name) => [name, `^${versionOf(name)}`])),
  };
}

/** An import as `tsc` writes it. */
const imported = /^(?:import |export |\})(?:.* from )?"([^"]+)";|\bimport\("([^"]+)"\)/gm;

/** Names of the packages that JavaScript imports, sorted. */
export function importedPackages(code: readonly string[]): string[] {
  const names = code.flatMap((text) =>
    [...text.matchAll(imported)].map(([, from, inside]) => from ?? inside!),
  );
  const packages = names
    .filter((name) => !/^(?:\.|node:)/.test(name))
    .map((name) => name.split("/", name.startsWith("@") ? 2 : 1).join("/"));
  return [...new Set(packages)].sort();
}

type Versions = Readonly<Record<string, string>>;

function partition(versions: Versions, isFirst: (name: string) => boolean): [Versions, Versions] {
  const { true: first = [], false: second = [] } = Object.groupBy(Object.entries(versions), ([name]) =>
    isFirst(name) ? "true" : "false",
  );
  return [Object.fromEntries(first), Object.fromEntries(second)];
}
