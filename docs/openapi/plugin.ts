#!/usr/bin/env -S node
/** A plugin of buf: writes gen/openapi.json from the descriptors, their options and their comments. */
import { createEcmaScriptPlugin, runNodeJs } from "@bufbuild/protoplugin";
import { openApiOf } from "./document.ts";

runNodeJs(
  createEcmaScriptPlugin({
    name: "openapi",
    version: "v1",
    generateTs(schema) {
      const file = schema.generateFile("openapi.json");
      const services = schema.files.flatMap(({ services }) => services);
      for (const line of JSON.stringify(openApiOf(services), undefined, 2).split("\n")) file.print(line);
    },
  }),
);
