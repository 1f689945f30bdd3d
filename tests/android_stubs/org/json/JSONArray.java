package org.json;

import java.util.List;

public class JSONArray {
    private final List<?> values;

    JSONArray(List<?> values) {
        this.values = values;
    }

    public int length() {
        return values.size();
    }

    public JSONObject getJSONObject(int index) throws JSONException {
        return new JSONObject(JSONObject.object(values.get(index)));
    }
}
