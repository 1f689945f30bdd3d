package org.json;

import java.util.LinkedHashMap;
import java.util.Map;

/** The little of Android's org.json that the generated code uses, with a reader for it. */
public class JSONObject {
    private final Map<String, Object> values;

    public JSONObject(String text) throws JSONException {
        this(object(new Reader(text).whole()));
    }

    JSONObject(Map<String, Object> values) {
        this.values = values;
    }

    public String getString(String name) throws JSONException {
        Object value = values.get(name);
        if (!(value instanceof String)) {
            throw new JSONException("No value for " + name);
        }
        return (String) value;
    }

    public JSONArray getJSONArray(String name) throws JSONException {
        Object value = values.get(name);
        if (!(value instanceof java.util.List)) {
            throw new JSONException("No value for " + name);
        }
        return new JSONArray((java.util.List<?>) value);
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> object(Object value) throws JSONException {
        if (!(value instanceof Map)) {
            throw new JSONException("Not an object");
        }
        return (Map<String, Object>) value;
    }

    private static final class Reader {
        private final String text;
        private int at;

        Reader(String text) {
            this.text = text;
        }

        Object whole() throws JSONException {
            Object value = value();
            if (next() != 0) {
                throw new JSONException("Text after the end");
            }
            return value;
        }

        private Object value() throws JSONException {
            char first = next();
            if (first == '{') {
                at++;
                Map<String, Object> found = new LinkedHashMap<>();
                while (next() != '}') {
                    String name = string();
                    expect(':');
                    found.put(name, value());
                    if (next() != '}') {
                        expect(',');
                    }
                }
                at++;
                return found;
            }
            if (first == '[') {
                at++;
                java.util.List<Object> found = new java.util.ArrayList<>();
                while (next() != ']') {
                    found.add(value());
                    if (next() != ']') {
                        expect(',');
                    }
                }
                at++;
                return found;
            }
            return first == '"' ? string() : bare();
        }

        private String string() throws JSONException {
            expect('"');
            StringBuilder made = new StringBuilder();
            while (at < text.length() && text.charAt(at) != '"') {
                char one = text.charAt(at++);
                if (one == '\\') {
                    one = text.charAt(at++);
                    int known = "bfnrt".indexOf(one);
                    if (one == 'u') {
                        one = (char) Integer.parseInt(text.substring(at, at + 4), 16);
                        at += 4;
                    } else if (known >= 0) {
                        one = "\b\f\n\r\t".charAt(known);
                    }
                }
                made.append(one);
            }
            expect('"');
            return made.toString();
        }

        private Object bare() throws JSONException {
            int start = at;
            while (at < text.length() && ",]} \n\t\r".indexOf(text.charAt(at)) < 0) {
                at++;
            }
            if (start == at) {
                throw new JSONException("Nothing at " + at);
            }
            return new StringBuilder(text.substring(start, at));
        }

        private char next() {
            while (at < text.length() && " \n\t\r".indexOf(text.charAt(at)) >= 0) {
                at++;
            }
            return at < text.length() ? text.charAt(at) : 0;
        }

        private void expect(char wanted) throws JSONException {
            if (next() != wanted) {
                throw new JSONException("Expected " + wanted + " at " + at);
            }
            at++;
        }
    }
}
