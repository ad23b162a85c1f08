// Lets Node, which reads TypeScript by itself, find modules that are named without their ending.
import { existsSync } from "node:fs";
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";

registerHooks({
  resolve(specifier, context, next) {
    if (specifier.startsWith(".") && context.parentURL) {
      const module = new URL(`${specifier}.ts`, context.parentURL);
      if (existsSync(fileURLToPath(module))) return next(module.href, context);
    }
    return next(specifier, context);
  },
});
