import { manual, oneOf, onOff, seconds } from "./fields.ts";

const aheads = ["off", "new", "all"] as const;

/** When files are hashed, and whether they wait for it. */
export const preparationFields = {
  prepareMs: seconds(0, 86_400).prefault("10").register(manual, {
    argument: "seconds",
    help: "time after which a requested file can be read even though its checksums are still being computed",
    changeable: true,
  }),
  verifyFirst: onOff().prefault("off").register(manual, {
    argument: "on|off",
    alone: "on",
    help: "let no file be read before its checksums are computed and compared with its manifest",
  }),
  prepareAhead: oneOf(aheads)
    .prefault("off")
    .register(manual, {
      argument: aheads.join("|"),
      help: "compute checksums in the background, before files are requested: of files that appear, or of all",
    }),
};
